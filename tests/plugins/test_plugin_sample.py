"""The sample plugin: what the documentation shows is the file that is installed and run here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributions import SAMPLE, install_sample

from advisor import registry, testing
from advisor.data import dataset
from advisor.models import backbone, pretrained_weights
from advisor.records.data import ReadOptions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The sample, installed as a distribution, for this process and those that it starts."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    yield install_sample(tmp_path)
    for name in ("tiny_backbone", "sidecar_layout"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("file", ["tiny_backbone.py", "sidecar_layout.py", "pyproject.toml"])
def test_the_documentation_shows_exactly_this_file(file: str) -> None:
    """docs/plugins.md contains the sample word for word."""
    assert f"\n{(SAMPLE / file).read_text()}```\n" in (ROOT / "docs" / "plugins.md").read_text()


def test_the_sample_is_short() -> None:
    """A backbone takes about 25 lines."""
    assert len((SAMPLE / "tiny_backbone.py").read_text().splitlines()) <= 25


def test_the_sample_keeps_all_rules(site: Path) -> None:
    """The conformance kit finds nothing to object to in what authors will copy."""
    plugins = registry.load()
    checks = [*testing.check_backbone(plugins.backbone("tiny")), testing.check_imports(plugins.plugin("tiny"))]
    assert [c for c in checks if not c.passed] == []


def test_the_samples_layout_is_read_like_a_built_in_one(site: Path, tmp_path: Path) -> None:
    """Data in the plugin's layout are recognised, with labels and a warning that names the plugin."""
    example = registry.load().layouts["sidecar"].example(tmp_path / "data")
    data = dataset.read(example)
    assert (data.layout, data.classes) == ("sidecar", ("dark", "light"))
    assert "read by the layout sidecar of the plugin sidecar." in data.warnings
    assert dataset.read(example, options=ReadOptions(layout="sidecar")) == data
    assert [c for c in testing.check_layout(registry.load().layouts["sidecar"]) if not c.passed] == []


def test_the_samples_weights_are_read_from_a_folder(site: Path, tmp_path: Path) -> None:
    """A file of its network's tensors in --weights-dir is found and fills the network."""
    from safetensors.torch import save_file

    tiny = registry.load().backbone("tiny")
    tensors = backbone.build(tiny, seed=5).state_dict()
    (tmp_path / "weights").mkdir()
    save_file(tensors, tmp_path / "weights" / "tiny-backbone.safetensors")
    read, _, warning = pretrained_weights.read(tiny, pretrained_weights.locate(tiny, weights_dir=tmp_path / "weights"))
    assert warning is None
    module = backbone.build(tiny, read)
    assert all(torch.equal(v, tensors[n]) for n, v in module.state_dict().items())


def test_the_command_line_lists_the_sample(site: Path) -> None:
    """A person sees it in `tl-advise plugins`, with the package that it comes from."""
    command = [sys.executable, "-m", "advisor", "plugins", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    assert (rows["tiny"]["kind"], rows["tiny"]["distribution"], rows["tiny"]["version"]) == (
        "backbone",
        "tl-advise-tiny",
        "1.2.3",
    )
