"""Descriptions of repositories on the hub: each belongs to one commit, like the weights that are used with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_hub import Hub, serving_hub

from advisor import registry
from advisor.errors import PluginError
from advisor.models import pretrained_weights
from advisor.runtime import hub
from advisor_timm import on_demand

pytest.importorskip("timm")


@pytest.fixture
def hub_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that huggingface-hub asks, though it read its settings when it was imported."""
    constants = pytest.importorskip("huggingface_hub").constants
    with serving_hub() as served:
        served.use(monkeypatch, tmp_path)
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        yield served
    on_demand.describe.cache_clear()


def publish(served: Hub, commit: str, mean: float) -> None:
    """Let me/model hold a description with this mean, as one more commit."""
    config = {"mean": [mean] * 3, "std": [0.5] * 3, "input_size": [3, 160, 160], "crop_pct": 0.95, "num_classes": 5}
    text = json.dumps({"architecture": "test_resnet", "num_classes": 5, "pretrained_cfg": config})
    served.files["me/model/config.json"], served.commit = text.encode(), commit


def test_a_description_is_that_of_the_commit_of_its_weights(hub_of_this_process: Hub) -> None:
    """A repository whose newest commit moved is described anew, with the address of the same commit's weights."""
    served, first, second = hub_of_this_process, "1" * 40, "2" * 40

    def resolved(name: str = "hf-hub:me/model") -> tuple[float, str]:
        on_demand.describe.cache_clear()  # as in a process of its own
        backbone = registry.load().backbone(name)
        assert backbone.name == name
        return backbone.preprocess.mean[0], pretrained_weights.as_weights(backbone).url

    publish(served, first, 0.25)
    assert resolved() == (0.25, f"hf://me/model/model.safetensors@{first}")
    publish(served, second, 0.75)
    assert resolved() == (0.25, f"hf://me/model/model.safetensors@{first}")  # the hub's cache holds this commit
    hub.fetch("hf://me/model/config.json")  # as any program does that loads the newest weights
    asked = len(served.asked)
    assert resolved() == (0.75, f"hf://me/model/model.safetensors@{second}")
    assert resolved(f"hf-hub:me/model@{first}") == (0.25, f"hf://me/model/model.safetensors@{first}")
    assert len(served.asked) == asked


def test_a_rerun_takes_the_description_of_its_recipes_commit(hub_of_this_process: Hub) -> None:
    """A registry at a commit gives the network as it was then, under its own name; networks of timm stay as they are."""
    served, first, second = hub_of_this_process, "1" * 40, "2" * 40
    publish(served, first, 0.25)
    registry.load().backbone("hf-hub:me/model")
    publish(served, second, 0.75)
    hub.fetch("hf://me/model/config.json")
    on_demand.describe.cache_clear()
    names = ("hf-hub:me/model", "timm/test_vit.r160_in1k", "timm/resnet18.a1_in1k", "mobilenet_v2")
    plain, pinned = registry.load(), registry.load().at_revisions((name, first) for name in names)
    assert [r.backbone("hf-hub:me/model").preprocess.mean[0] for r in (plain, pinned)] == [0.75, 0.25]
    assert [pinned.backbone(name).name for name in names] == list(names)
    served.files.clear()
    with pytest.raises(PluginError, match="me/model on Hugging Face does not exist"):
        plain.at_revisions([("hf-hub:me/model", "3" * 40)])


def test_without_the_hub_and_its_cache_the_last_description_serves(hub_of_this_process: Hub, tmp_path: Path) -> None:
    """Weights from a file need no hub: the description stays that of the commit that was seen last."""
    served, first = hub_of_this_process, "1" * 40
    publish(served, first, 0.25)
    registry.load().backbone("hf-hub:me/model")
    served.files.clear()
    shutil.rmtree(tmp_path / "hf")
    on_demand.describe.cache_clear()
    backbone = registry.load().backbone("hf-hub:me/model")
    assert backbone.preprocess.mean[0] == 0.25
    assert pretrained_weights.as_weights(backbone).url.endswith(first)
