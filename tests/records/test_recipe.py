"""Recipes: strict reading with a path in every error, writing that reads back equal, YAML that is only data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from goldens import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_recipe import example

from advisor import registry
from advisor.errors import RecipeError
from advisor.hooks import Card, Parameter
from advisor.records import (
    Context,
    Phase,
    StageSize,
    TrainPlan,
    recipe_file,
)
from advisor.records import recipe as recipes

GOLDEN = Path(__file__).parents[1] / "golden"


def test_what_is_written_reads_back_equal() -> None:
    """Writing and reading a recipe gives back its equal, names that look like numbers, dates or booleans included."""
    recipe = example()
    assert recipe_file.parse(recipe_file.write(recipe)) == recipe


TEXT = st.text(min_size=1, max_size=12).filter(lambda s: s.strip())
NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=60)
@given(
    classes=st.lists(TEXT, min_size=2, max_size=5, unique=True),
    parameters=st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-(10**30), 10**30) | NUMBER | TEXT),
    numbers=st.dictionaries(TEXT, NUMBER),
    rates=st.dictionaries(TEXT, NUMBER),
)
def test_any_text_and_any_number_survives(
    classes: list[str], parameters: dict[str, object], numbers: dict[str, float], rates: dict[str, float]
) -> None:
    """Class names, parameters and numbers of any kind read back equal, in value and in type."""
    recipe = example()
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, classes=tuple(classes)),
        strategy=dataclasses.replace(recipe.strategy, parameters=parameters),
        fitted=recipes.Fitted(numbers=numbers),
        plan=TrainPlan(phases=(Phase(rates=rates),), steps=80),
    )
    back = recipe_file.parse(recipe_file.write(recipe))
    assert back == recipe
    assert [type(v) for v in back.strategy.parameters.values()] == [type(v) for v in parameters.values()]


def test_a_name_that_is_no_utf8_survives() -> None:
    """A class folder whose name holds stray bytes reads back with the same bytes."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    recipe = example()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, classes=(name, "other")))
    text = recipe_file.write(recipe)
    assert recipe_file.parse(text.encode("utf-8").decode("utf-8")).data.classes == (name, "other")


def change(old: str, new: str) -> str:
    """The example's text with one passage replaced."""
    text = recipe_file.write(example())
    assert old in text
    return text.replace(old, new, 1)


FAULTS = [
    ("status: final", "status: done", 'status: expected one of "provisional", "final", got "done"'),
    ("schema: 1", "schema: 2", "schema: expected 1"),
    ("schema: 1\n", "", "schema: missing; a recipe needs it"),
    ("seed: 0", "sead: 0", 'sead: unknown field of a recipe, did you mean "seed"?'),
    ("  images: 398", "  imags: 398", 'data.imags: unknown field of data, did you mean "images"?'),
    (
        "head_rate: 0.001",
        "head_rat: 0.001",
        "plan.phases[0].head_rat: unknown field of plan.phases[0], did you mean",
    ),
    ("epochs: 10.0", "epochs: many", 'training.epochs: expected a number, got "many"'),
    ("batch: 32", "batch: 32.5", "training.batch: expected a whole number, got 32.5"),
    ("batch: 32", "batch: 0", "training.batch: expected a number above 0, got 0"),
    ("leaks_removed: false", "leaks_removed: 0", "data.leaks_removed: expected true or false, got 0"),
    ("alpha: 0.5}", "alpha: half}", 'fitted.numbers.alpha: expected a number, got "half"'),
    ("{top: 0.0001}", "{top: fast}", 'plan.phases[0].rates.top: expected a number, got "fast"'),
    ("pad: null", "pad: [1]", "strategy.parameters.pad: expected true or false or a whole number or a number or text"),
    ("[ants, bees,", "[ants, 7,", "data.classes[1]: expected text, got 7"),
    ("[ants, bees,", "[ants, ants,", "data.classes: expected at least two names, each once"),
    ("threads: 2", "threads: 2000000", "compute.threads: expected a whole number from 1 to 1,024, got 2000000"),
    ("device: cpu", "device: tpu", 'compute.device: expected cpu, cuda or cuda:0 …, got "tpu"'),
    ("temperature: 1.21", "temperature: 0", "fitted.temperature: expected a number from 1e-5 to 1e5, got 0.0"),
    (
        "temperature: 1.21",
        "temperature: 1.0e+300",
        "fitted.temperature: expected a number from 1e-5 to 1e5, got 1e+300",
    ),
    (
        "temperature: 1.21",
        "temperature: 1.0e-300",
        "fitted.temperature: expected a number from 1e-5 to 1e5, got 1e-300",
    ),
    ("temperature: 1.21", "temperature: .inf", "fitted.temperature: expected a number from 1e-5 to 1e5, got Infinity"),
    ("from_scratch: false\ninput", "from_scratch: true\ninput", "backbone.weights: expected null, since from_scratch"),
    ("  steps: 80", "  steps: 81", "plan.steps: expected 80 as in training.steps, got 81"),
    ("fingerprint: 0123", "fingerprint: 012z", "data.fingerprint: expected 64 hexadecimal digits, got"),
    ("seed: 0", "seed: 0\ndecision: {weights: [1.0]}", "decision.weights: expected 6 numbers, one per class"),
    ("seed: 0", "seed: 0\ndecision: {costs: [[0.0, 1.0]]}", "decision.costs: expected 6 rows of 6 numbers"),
    ("folds: 5", "folds: 1", "validation.folds: expected a whole number of at least 2, got 1"),
    ("fold: null", "fold: 5", "training.fold: expected folds from 0 to 4, got 5"),
    ("mean_of_folds: null", "mean_of_folds: [0, 7]", "training.mean_of_folds: expected folds from 0 to 4, got 7"),
    ("pool_sample: null", "pool_sample: -5", "data.pool_sample: expected a number above 0, got -5"),
    ("seed: 0", "seed: 0\nseed: 1", '"seed" is given twice: keep one of them'),
    ("seed: 0", "seed: &s 0", "anchors and aliases are refused"),
    ("seed: 0", "seed: *s", "anchors and aliases are refused"),
    ("seed: 0", "seed: !!python/object/apply:os.system [ls]", "it builds no objects"),
    ("seed: 0", "seed: !!int 0", "is refused: a recipe holds plain values"),
    ("seed: 0", "seed: " + "[" * 40 + "]" * 40, "nested deeper than 24 levels"),
    ("seed: 0", "seed: " + "9" * 5000, "a whole number of more than 40 digits"),
    ("seed: 0", "seed: 0\n7: x", "a field's name must be text, got '7'"),
    ("seed: 0", "seed: 0\n<<: {seed: 1}", "<<: unknown field of a recipe"),
    ("seed: 0", "seed: [", "line "),
    ("seed: 0", "seed: \x07", "a recipe is plain text"),
    ("seed: 0", "seed: 0\n---\nseed: 1", "but found another document"),
]


@pytest.mark.parametrize(("old", "new", "line"), FAULTS, ids=[f"{old.strip()} -> {new[:24]}" for old, new, _ in FAULTS])
def test_a_fault_is_one_line_that_names_its_place(old: str, new: str, line: str) -> None:
    """A typo, a wrong type, a value out of range or YAML that is more than data: one line, path first."""
    with pytest.raises(RecipeError) as caught:
        recipe_file.parse(change(old, new), name="r.yaml")
    assert line in caught.value.what
    assert "\n" not in str(caught.value)
    assert "r.yaml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_numbers_as_people_write_them() -> None:
    """`1e-4` is a number (YAML 1.1 reads a word), `no` and `on` are words (YAML 1.1 reads booleans), 1 is 1.0."""
    text = change("head_lr: 1.0e-05", "head_lr: 1e-4").replace("optimizer: sgd, pad", "optimizer: no, pad")
    back = recipe_file.parse(text.replace("epochs: 10.0", "epochs: 10"))
    assert back.strategy.parameters["head_lr"] == 1e-4
    assert back.strategy.parameters["optimizer"] == "no"
    assert back.training.epochs == 10.0


def test_a_thousand_aliases_cost_nothing() -> None:
    """Aliases that would expand to gigabytes are refused at the first one."""
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{b}, *{b}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(RecipeError, match="anchors and aliases are refused"):
        recipe_file.parse(bomb)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
@settings(deadline=None, max_examples=80)
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    """Whatever a file holds, the answer is a recipe or one RecipeError."""
    with pytest.raises(RecipeError) as caught:
        recipe_file.parse(text)
    assert "\n" not in str(caught.value)


def test_reading_a_file(tmp_path: Path) -> None:
    """A file or the run directory that holds it is read; what is missing, binary or a stranger is one line."""
    (tmp_path / "recipe.yaml").write_text("\ufeff" + recipe_file.write(example()), encoding="utf-8")
    assert recipe_file.read(tmp_path) == recipe_file.read(tmp_path / "recipe.yaml") == example()
    (tmp_path / "photo.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    for name, words in (("none.yaml", "no such recipe"), ("photo.yaml", "not a text file in UTF-8")):
        with pytest.raises(RecipeError, match=words):
            recipe_file.read(tmp_path / name)


class Gentle:
    """A strategy with every kind of parameter."""

    name = "gentle"
    regime = "full"
    card = Card(
        what="",
        when="",
        parameters=(
            Parameter(name="head_lr", default=1e-3, meaning="", low=1e-6, high=1.0),
            Parameter(name="momentum", default=0.9, meaning="", low=0.0),
            Parameter(name="epochs", default=5, meaning="", kind="int", low=1),
            Parameter(name="optimizer", default="sgd", meaning="", kind="choice", choices=("sgd", "adamw", 3)),
        ),
    )


PARAMETERS = [
    ({"head_lr": "fast"}, 'strategy.parameters.head_lr: expected a number above 0, got "fast"'),
    ({"head_lr": 5}, "strategy.parameters.head_lr: expected a number from 1e-06 to 1, got 5"),
    ({"head_lr": True}, "strategy.parameters.head_lr: expected a number above 0, got true"),
    ({"momentum": -1}, "strategy.parameters.momentum: expected a number of at least 0, got -1"),
    ({"epochs": 2.5}, "strategy.parameters.epochs: expected a whole number above 0, got 2.5"),
    ({"optimizer": "sgdd"}, 'strategy.parameters.optimizer: expected one of "sgd", "adamw", 3, got "sgdd"'),
    ({"optimizer": 3.0}, 'strategy.parameters.optimizer: expected one of "sgd", "adamw", 3, got 3.0'),
    ({"head_rl": 1}, 'strategy.parameters.head_rl: unknown field of the strategy "gentle", did you mean'),
]


@pytest.mark.parametrize(("parameters", "line"), PARAMETERS)
def test_parameters_are_checked_against_the_card(parameters: dict[str, object], line: str) -> None:
    """A parameter that the card does not know, or out of its range, is one line with its path."""
    with pytest.raises(RecipeError) as caught:
        recipe_file.check_parameters(Gentle(), parameters)  # type: ignore[arg-type]
    assert line in caught.value.what


def test_legal_parameters_pass() -> None:
    """Numbers in range, ends included, and choices pass; a card in one sentence checks nothing."""
    legal = {"head_lr": 1, "momentum": 0, "epochs": 1, "optimizer": "adamw"}
    recipe_file.check_parameters(Gentle(), legal)  # type: ignore[arg-type]
    plain = type("Plain", (Gentle,), {"card": "what it is"})
    recipe_file.check_parameters(plain(), {"anything": object()})


def test_the_first_guesses_of_our_strategies_are_legal() -> None:
    """What a strategy proposes first lies inside the ranges on its own card."""
    stages = tuple(StageSize(name=name, parameters=1000, has_norm=True) for name in ("stem", "a", "b"))
    context = Context(images=500, classes=2, class_counts=(250, 250), stages=stages, has_norm=True, dim=64)
    strategies = registry.load(select=["strategies"]).strategies
    assert strategies
    for strategy in strategies.values():
        for guess in strategy.first_guesses(context):
            recipe_file.check_parameters(strategy, guess)


def test_the_written_recipe_is_as_agreed() -> None:
    """The text of a recipe, header included, changes only on purpose."""
    text = recipe_file.write(example(), command="tl-advise hymenoptera --budget 3m")
    golden(GOLDEN / "recipe.yaml", text)


def test_an_old_recipe_still_reads() -> None:
    """A recipe of schema 1 as the first version wrote it is read for ever; this file is never rewritten."""
    old = recipe_file.read(Path(__file__).parents[1] / "fixtures" / "recipe-schema-1.yaml")
    assert old.data.name == "hymenoptera"
    assert old.strategy.parameters["head_lr"] == 1e-5


def test_a_line_break_in_a_name_cannot_leave_the_header() -> None:
    """Names from the disk stay inside the comment."""
    recipe = example()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, name="a\nseed: 7"))
    assert recipe_file.parse(recipe_file.write(recipe)) == recipe
