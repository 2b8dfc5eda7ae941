"""The first-party strategies: cards, spaces and guesses agree, and what does not apply says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from first_party import HERE, STRATEGIES
from parameter_draws import Drawn, Given
from small_network import context

from advisor.errors import PluginError
from advisor.hooks import Card, Strategy

BY_NAME = ("scratch", "dann", "mcc", "episodic", "discriminative", "distill")


def legal(strategy: Strategy, parameters: Mapping[str, Any]) -> None:
    assert isinstance(strategy.card, Card)
    declared = {p.name: p for p in strategy.card.parameters}
    for name, value in parameters.items():
        parameter = declared[name]
        if parameter.kind == "choice":
            assert value in parameter.choices, name
        else:
            assert parameter.low is not None
            assert parameter.high is not None
            assert parameter.low <= value <= parameter.high, name
            assert isinstance(value, int) or parameter.kind == "float", name


def test_the_family_is_complete() -> None:
    """Every way of transferring that the documents name is there, under its name."""
    assert set(STRATEGIES) >= {"ridge", "logistic", "prototypes", "knn", "partial", "full", "gradual", "discriminative"}
    assert set(STRATEGIES) >= {
        "lp_ft",
        "norm_only",
        "bias_only",
        "surgical",
        "l2_sp",
        "wise_ft",
        "ema",
        "scratch",
        "dann",
        "mcc",
    }


def test_listing_needs_no_torch() -> None:
    """Cards, spaces and guesses are read without importing torch."""
    code = "import sys, advisor_strategies as a; a.advisor_strategies(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", STRATEGIES)
def test_cards_are_whole(name: str) -> None:
    """A card says what, when and from which paper; parameters are named once, defaults are legal."""
    card = STRATEGIES[name].card
    assert isinstance(card, Card)
    assert card.what.endswith(".")
    assert card.when.endswith(".")
    assert card.paper
    names = [p.name for p in card.parameters]
    assert len(names) == len(set(names))
    legal(STRATEGIES[name], {p.name: p.default for p in card.parameters})


@pytest.mark.parametrize("images", [12, 300, 5_000, 100_000])
@pytest.mark.parametrize("name", STRATEGIES)
def test_guesses_and_draws_are_legal_and_complete(name: str, images: int) -> None:
    """At any size, guesses and draws hold every parameter that counts, within the ranges of the card."""
    strategy, here = STRATEGIES[name], context(images)
    guesses = strategy.first_guesses(here)
    assert guesses
    assert len({str(sorted(g.items())) for g in guesses}) == len(guesses)
    names = set(guesses[0])
    for parameters in (*guesses, *(strategy.space(Drawn(seed), here) for seed in range(12))):
        legal(strategy, parameters)
        if "optimizer" not in parameters:
            assert set(parameters) == names
        assert strategy.plan(parameters, here) == strategy.plan(dict(parameters), here)


@pytest.mark.parametrize("images", [60, 1_000, 20_000])
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_space_holds_the_guesses(name: str, images: int) -> None:
    """A sampler can learn from every guess: it lies inside the ranges that are searched."""
    strategy, here = STRATEGIES[name], context(images)
    for guess in strategy.first_guesses(here):
        if name in ("ridge", "logistic") and not guess.get("c", 1.0):
            continue  # 0 stands for the strength that leave-one-out or cross-validation finds by itself
        drawn = strategy.space(Given(guess), here)
        assert set(drawn) == set(guess)


def test_spaces_are_conditional() -> None:
    """A rate is drawn for the optimizer that was drawn, unfreezing's share only where stages are freed gradually."""
    seen = [Drawn(seed) for seed in range(20)]
    draws = [STRATEGIES["full"].space(each, HERE) for each in seen]
    for each, drawn in zip(seen, draws, strict=True):
        assert ("sgd_rate" in each.ranges) == (drawn["optimizer"] == "sgd")
        assert ("adam_rate" in each.ranges) == (drawn["optimizer"] != "sgd")
        assert ("unfreeze_share" in each.ranges) == (drawn["unfreeze"] == "gradual")
        assert "class_weights" not in each.ranges
    bare = Drawn(0)
    STRATEGIES["full"].space(bare, replace(HERE, has_norm=False))
    assert "norm" not in bare.ranges


def test_unknown_parameters_are_refused() -> None:
    """A parameter that a strategy does not have is named, with those that it has."""
    for strategy in STRATEGIES.values():
        with pytest.raises(PluginError, match=r"head_lr.*There are"):
            strategy.plan({"head_lr": 1.0}, HERE)


@pytest.mark.parametrize("name", ["full", "partial", "ema", "logistic"])
@pytest.mark.parametrize("objective", ["log_loss", "accuracy", "balanced_accuracy", "macro_f1", "auroc", "cost"])
def test_class_weights_are_searched_where_the_objective_may_gain(name: str, objective: str) -> None:
    """Never for log-loss and accuracy, which ask for the true shares, nor for even classes; guessed for scores of classes."""
    strategy, even = STRATEGIES[name], replace(HERE, objective=objective)
    uneven = replace(even, class_counts=(40, 10, 10, 10))
    for facts in (even, uneven):
        each = Drawn(0)
        strategy.space(each, facts)
        assert ("class_weights" in each.ranges) == (facts is uneven and objective not in ("log_loss", "accuracy"))
        guesses = strategy.first_guesses(facts)
        weighed = [number for number, guess in enumerate(guesses) if guess["class_weights"] != "none"]
        is_guessed = facts is uneven and objective in ("balanced_accuracy", "macro_f1")
        assert weighed == ([1] if is_guessed else [])
        assert strategy.plan(guesses[0], facts) == strategy.plan(guesses[0], HERE)


def test_scratch_and_adaptation_must_be_asked_for() -> None:
    """Random weights are never a surprise: scratch says that it runs only by name, and it alone asks for them."""
    for name, strategy in STRATEGIES.items():
        assert isinstance(strategy.card, Card)
        assert strategy.card.only_when_named == (name in BY_NAME)
        assert strategy.plan(strategy.first_guesses(HERE)[0], HERE).from_scratch == (name == "scratch")


def test_what_does_not_apply_says_why() -> None:
    """Strategies refuse networks that they cannot work on, in words."""
    bare = context(has_norm=False)
    assert STRATEGIES["norm_only"].applies(bare) == "the network has no norm layers"
    assert STRATEGIES["bias_only"].applies(bare) is None
    single = replace(HERE, stages=HERE.stages[:1])
    for name in ("partial", "surgical"):
        assert "fewer than two stages" in str(STRATEGIES[name].applies(single))
    assert "no trainable parameters" in str(STRATEGIES["full"].applies(replace(HERE, stages=())))
    assert "no transformer" in str(STRATEGIES["lora"].applies(HERE))
    assert all(s.applies(HERE) is None for name, s in STRATEGIES.items() if name not in ("lora", "distill"))
