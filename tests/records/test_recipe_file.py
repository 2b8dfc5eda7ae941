"""Recipes that are kept: those that ship read and rerun; those of earlier versions read and are written without a loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import registry
from advisor.cli.demo import write_digits
from advisor.records import recipe_file
from advisor.workflows import rerun, rerun_verify

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    """Three from real data and one that anybody can rerun."""
    assert len(RECIPES) >= 4


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_a_shipped_recipe_is_whole(path: Path) -> None:
    """It reads strictly, states its scores, its machine and its weights, and carries no path of the machine it ran on."""
    recipe = recipe_file.read(path)
    assert recipe.status == "final"
    assert recipe.outcome is not None
    assert recipe.outcome.test is not None
    assert recipe.backbone.weights is not None
    assert not Path(recipe.data.path_hint).is_absolute()
    plugins = registry.load()
    recipe_file.check_parameters(plugins.strategy(recipe.strategy.name), recipe.strategy.parameters)
    assert recipe.backbone.name in plugins.backbones


def test_the_demo_recipe_reruns_anywhere(tmp_path: Path) -> None:
    """To the bit on the machine kind that wrote it, within the promised tolerance elsewhere."""
    path = next(p for p in RECIPES if p.name == "demo-digits.yaml")
    write_digits(tmp_path / "digits")
    result = rerun.rerun_recipe(path, data=tmp_path / "digits", offline=True)
    assert result.same_data
    assert rerun_verify.verify(result)


OLD = sorted((Path(__file__).parents[1] / "fixtures").glob("recipe-*.yaml"))


def test_there_are_old_recipes() -> None:
    """At least the first schema is kept."""
    assert OLD


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_an_old_recipe_reads_and_writes(path: Path, tmp_path: Path) -> None:
    """What is read is written without a loss; that one of them reruns, the demo recipe shows."""
    recipe = recipe_file.read(path)
    (tmp_path / "recipe.yaml").write_text(recipe_file.write(recipe), encoding="utf-8")
    assert recipe_file.read(tmp_path / "recipe.yaml") == recipe
