"""Recipes of earlier versions: every one that is kept as a fixture reads, and says the same when it is written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.records import recipe_file

OLD = sorted((Path(__file__).parents[1] / "fixtures").glob("recipe-*.yaml"))


def test_there_are_old_recipes() -> None:
    """At least the first schema is kept."""
    assert OLD


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_an_old_recipe_reads_and_writes(path: Path, tmp_path: Path) -> None:
    """What is read is written without a loss; that one of them reruns, `test_shipped_recipes` shows."""
    recipe = recipe_file.read(path)
    (tmp_path / "recipe.yaml").write_text(recipe_file.write(recipe), encoding="utf-8")
    assert recipe_file.read(tmp_path / "recipe.yaml") == recipe
