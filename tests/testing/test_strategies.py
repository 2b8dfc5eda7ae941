"""The checks of a strategy: they pass one that keeps the rules, and each broken rule fails the check of its name."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from failed_checks import failed

from advisor import registry, testing
from advisor.hooks import (
    Card,
    Head,
    OptimizerSpec,
    Parameter,
    Phase,
    Term,
    TrainPlan,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Sample:
    """A strategy that trains the last stage; every member can be replaced."""

    name: str = "sample"
    regime: str = "partial"
    card: Card = field(
        default_factory=lambda: Card(
            what="Train the last stage.",
            when="never",
            parameters=(Parameter(name="rate", default=0.01, low=1e-6, high=1.0, meaning="peak rate"),),
        )
    )
    objection: object = None
    guesses: tuple = ({"rate": 0.05},)
    drawn: object = None
    planned: object = None

    def applies(self, context):
        return self.objection

    def space(self, trial, context):
        return self.drawn(trial) if self.drawn else {"rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True)}

    def first_guesses(self, context):
        return self.guesses

    def plan(self, parameters, context):
        if self.planned:
            return self.planned(context)
        phase = Phase(rates={context.stages[-1].name: parameters["rate"]}, head_rate=parameters["rate"])
        return TrainPlan(phases=(phase,), steps=3, batch=4, optimizer=OptimizerSpec(name="sgd"))


def test_a_strategy_that_keeps_the_rules_passes_them_all() -> None:
    """Nothing is objected to; the training check says what moved."""
    checks = testing.check_strategy(Sample())
    assert failed(checks) == {}
    assert checks[-1].detail == "3 steps, moved head, last"


def test_all_first_party_strategies_pass() -> None:
    """What ships keeps the rules that third-party plugins are held to."""
    plugins = registry.load(select=["strategies"])
    checked = {name: failed(testing.check_strategy(s)) for name, s in plugins.strategies.items()}
    assert {name: faults for name, faults in checked.items() if faults} == {}
    assert len(checked) >= 10


def _moves_the_stem(context):
    """A plan of two phases in disorder; both stages train."""
    last, first = context.stages[-1].name, context.stages[0].name
    later = Phase(start=2, rates={first: 0.1, last: 0.1}, head_rate=0.1)
    return TrainPlan(phases=(later, Phase(rates={last: 0.1}, head_rate=0.1)), steps=4, batch=4)


def test_phases_may_come_in_any_order() -> None:
    """The loop sorts phases; the kit sees that both stages moved."""
    checks = testing.check_strategy(Sample(planned=_moves_the_stem))
    assert failed(checks) == {}
    assert checks[-1].detail == "4 steps, moved head, last, stem"


@pytest.mark.parametrize(
    ("changes", "rule", "message"),
    [
        ({"regime": "deep"}, "declares what hooks.Strategy asks for", "regime is 'deep'"),
        ({"objection": "never"}, "applies somewhere, and says why not elsewhere", "the first reason: never"),
        ({"objection": False}, "applies somewhere, and says why not elsewhere", "expected None or the reason"),
        ({"guesses": ()}, "first guesses are complete and legal", "first_guesses() is empty"),
        ({"guesses": ({"rate": 5.0},)}, "first guesses are complete and legal", "rate is 5.0, expected 1e-06 to 1.0"),
        ({"guesses": ({"speed": 1.0},)}, "first guesses are complete and legal", "which the card does not declare"),
        ({"guesses": ({"rate": [1]},)}, "first guesses are complete and legal", "expected a plain value"),
        (
            {"drawn": lambda trial: {"rate": trial.suggest_float("rate", 0.0, 1.0, log=True)}},
            "draws legal parameters, the same from the same draws",
            "draws rate from 0.0 to 1.0 on a log scale",
        ),
        (
            {"drawn": lambda trial: {"rate": float(torch.rand(()))}},
            "draws legal parameters, the same from the same draws",
            "different parameters for the same draws",
        ),
        (
            {"drawn": lambda trial: {"rate": 10 ** trial.suggest_float("log_rate", -4.0, -1.0)}},
            "draws legal parameters, the same from the same draws",
            "space() draws log_rate",
        ),
        (
            {"drawn": lambda trial: {"rate": trial.suggest_float("rate", 1e-4, 0.1) / 2}},
            "draws legal parameters, the same from the same draws",
            "return it as it was drawn",
        ),
        ({"planned": lambda context: None}, "plans can be executed", "gives a NoneType, expected a TrainPlan"),
        (
            {"planned": lambda context: TrainPlan(head=Head(kind="ridge"), terms=(Term(function="no_such:thing"),))},
            "terms and finish can be imported",
            "no_such",
        ),
        (
            {"planned": lambda context: TrainPlan(head=Head(kind="ridge"), adapter=Term(function="no_such:adapt"))},
            "terms and finish can be imported",
            "no_such",
        ),
    ],
)
def test_a_broken_strategy_fails_its_check(changes, rule: str, message: str) -> None:
    """What is wrong is found by the check that is about it."""
    faults = failed(testing.check_strategy(Sample(**changes)))
    assert rule in faults
    assert message in faults[rule]


def halves(start, tuned):
    """Change weights in place, as no finish may."""
    return {name: value.mul_(0.5) for name, value in tuned.items()}


def _finishes(context):
    phase = Phase(rates={context.stages[-1].name: 0.1}, head_rate=0.1)
    return TrainPlan(phases=(phase,), steps=2, batch=4, finish=Term(function=f"{__name__}:halves"))


def test_the_finish_of_a_plan_is_tried() -> None:
    """Not only imported: what it does to the weights is looked at."""
    faults = failed(testing.check_strategy(Sample(planned=_finishes)))
    assert (
        "halves changed the weights that it was given" in faults["what is not named stands still, what is named trains"]
    )


class Changeable(Sample):
    """Guesses otherwise each time, and draws from what the network has."""

    def first_guesses(self, context):
        return ({"rate": float(torch.rand(())) / 10},)

    def space(self, trial, context):
        return {"rate": 0.1, "until": trial.suggest_categorical("until", [stage.name for stage in context.stages])}


def test_what_a_search_could_not_repeat_or_learn_from_fails_its_check() -> None:
    """Guesses that change, and choices that differ between networks, which no sampler takes under one name."""
    faults = failed(testing.check_strategy(Changeable(card="Guesses.")))
    assert "different parameters for the same context" in faults["first guesses are complete and legal"]
    assert "in another: only ranges may differ" in faults["draws legal parameters, the same from the same draws"]
