"""Weights of a recipe: the commit that it names, from cache or hub, and a refusal of any other file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sample_recipe
from small_hub import Hub, serving_hub

from advisor import registry
from advisor.errors import RecipeError
from advisor.models import weight_sources
from advisor.records import recipe_file
from advisor.records.recipe import Recipe, WeightsFile
from advisor.workflows import rerun

pytest.importorskip("timm")
huggingface_hub = pytest.importorskip("huggingface_hub")
NAME = "timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m"
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub whose repository was at one commit when the recipe was made."""
    with serving_hub() as served:
        served.use(monkeypatch, tmp_path)
        served.files[f"{NAME}/model.safetensors"] = b"old"
        served.commit = OLD
        huggingface_hub.close_session()
        yield served
        huggingface_hub.close_session()


def recipe(content: bytes = b"old", commit: str = OLD) -> Recipe:
    """Return a recipe made with these weights."""
    made = sample_recipe.example()
    weights = WeightsFile(file="x.safetensors", sha256=hashlib.sha256(content).hexdigest(), revision=commit)
    return replace(made, backbone=replace(made.backbone, name=NAME, weights=weights))


def cache(home: Path, commit: str, content: bytes) -> None:
    """Put a commit's file into the cache, as the newest one."""
    folder = home / "hf" / "hub" / f"models--{NAME.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "model.safetensors").write_bytes(content)


def find(made: Recipe, offline: bool = True) -> bytes | None:
    """Return the content of the file that the rerun will use, None where it takes what it finds."""
    folder = rerun.find_weights(made, registry.load(), None, offline)
    return next(Path(folder).iterdir()).read_bytes() if folder else None


def test_the_commit_of_the_recipe_is_used(hub: Hub, tmp_path: Path) -> None:
    """Where a newer commit is in the cache as well, the recipe's is taken; without it in the cache, the hub is asked."""
    assert find(recipe(), offline=False) == b"old"
    assert f"{NAME}/resolve/{OLD}/model.safetensors" in {path for _, path, _ in hub.asked}
    cache(tmp_path, NEW, b"new")
    assert weight_sources.revision(registry.load().backbone(NAME)) == NEW
    assert find(recipe()) == b"old"


def test_another_file_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A newer commit alone, and a hub that sends something else, are errors that name both checksums."""
    cache(tmp_path, NEW, b"new")
    with pytest.raises(RecipeError, match=r"backbone.weights.sha256: the recipe was made with \w{12}, .* is \w{12}"):
        find(recipe())
    with pytest.raises(RecipeError, match=r"backbone.weights.sha256"):
        find(recipe(b"something else"), offline=False)


def test_recipes_hold_the_commit_only_of_a_hub() -> None:
    """It is written and read where there is one, and left out where there is none."""
    assert recipe_file.parse(recipe_file.write(recipe())) == recipe()
    assert f"revision: {OLD}" in recipe_file.write(recipe())
    assert "revision" not in recipe_file.write(recipe(commit=""))
    with pytest.raises(RecipeError, match=r"backbone.weights.revision: expected a commit"):
        recipe_file.parse(recipe_file.write(recipe()).replace(OLD, "'no commit'"))
