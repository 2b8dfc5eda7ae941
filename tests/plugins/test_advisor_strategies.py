"""The first-party strategies: cards, spaces and guesses agree, plans say what they should, and each of them trains."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_network import COMPUTE, changed, classifier, context, digits, weights

from advisor.errors import PluginError
from advisor.hooks import Card, Context, Strategy, TermInputs
from advisor.training import loop as training
from advisor_strategies import advisor_strategies, anchored, knobs

STRATEGIES = {strategy.name: strategy for strategy in advisor_strategies()}
TRAINED = [name for name, s in STRATEGIES.items() if s.plan(s.first_guesses(context())[0], context()).phases]
HERE = context()
BY_NAME = ("scratch", "dann", "mcc", "episodic", "discriminative", "distill")


class Drawn:
    """Draws parameters from numpy, and remembers from which ranges."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.ranges: dict[str, tuple[Any, ...]] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        assert name not in self.ranges
        self.ranges[name] = (low, high)
        return float(np.exp(self.draw.uniform(np.log(low), np.log(high))) if log else self.draw.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        assert name not in self.ranges
        self.ranges[name] = (low, high)
        return int(self.draw.integers(low, high + 1))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        assert name not in self.ranges
        self.ranges[name] = tuple(choices)
        return choices[int(self.draw.integers(len(choices)))]


class Told(Drawn):
    """Answers with given parameters where they lie in the range asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(0)
        self.given = given

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        assert low <= self.given[name] <= high, name
        return float(self.given[name])

    suggest_int = suggest_float  # type: ignore[assignment]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        assert self.given[name] in choices, name
        return self.given[name]


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
        drawn = strategy.space(Told(guess), here)
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


def guess(name: str, **changes: Any) -> Any:
    strategy = STRATEGIES[name]
    return strategy.plan({**strategy.first_guesses(HERE)[0], **changes}, HERE)


def test_partial_trains_the_last_stages() -> None:
    """`depth` counts stages from the head; deeper than the network is all of it."""
    assert set(guess("partial", depth=1).phases[0].rates) == {"top"}
    assert set(guess("partial", depth=2).phases[0].rates) == {"middle", "top"}
    assert set(guess("partial", depth=99).phases[0].rates) == {"stem", "middle", "top"}


@pytest.mark.parametrize("name", ["full", "partial", "gradual", "lp_ft", "discriminative", "l2_sp", "wise_ft", "ema"])
def test_rates_never_rise_towards_the_stem(name: str) -> None:
    """In every phase of every plan, rates fall or stay from head to stem (mistake 6)."""
    for seed in range(8):
        plan = STRATEGIES[name].plan(STRATEGIES[name].space(Drawn(seed), HERE), HERE)
        for phase in plan.phases:
            rates = [phase.rates[s.name] for s in HERE.stages if s.name in phase.rates]
            assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(rates))


def test_gradual_ends_with_everything_in_time() -> None:
    """Gradual unfreezing begins with the head, frees one stage at a time, and leaves the stem its share of the run."""
    plan = guess("gradual", epochs=10.0, unfreeze_share=0.5)
    assert [len(phase.rates) for phase in plan.phases] == [0, 1, 2, 3]
    assert "stem" not in plan.phases[2].rates
    assert plan.phases[3].start <= plan.steps // 2


def test_lp_ft_and_discriminative_begin_with_the_head() -> None:
    """First the head alone for the epochs asked for, then everything, with a schedule of its own."""
    for name, epochs in (("lp_ft", 2.0), ("discriminative", 1.0)):
        plan = guess(name)
        first, second = plan.phases
        assert first.rates == {}
        assert second.start == epochs * HERE.steps_per_epoch
        assert second.restart
        assert set(second.rates) == {"stem", "middle", "top"}
    rates = guess("discriminative").phases[1].rates
    assert rates["stem"] == pytest.approx(1e-5)
    assert rates["top"] == pytest.approx(1e-3)
    assert guess("discriminative").phases[0].head_rate == pytest.approx(2e-3)


def test_narrow_strategies_say_what_trains() -> None:
    """norm_only and bias_only narrow all stages; surgical trains one and refuses one that is not there."""
    assert guess("norm_only").phases[0].only == "norm"
    assert guess("bias_only").phases[0].only == "bias"
    assert set(guess("surgical", stage=1).phases[0].rates) == {"middle"}
    with pytest.raises(PluginError, match="stage 3: this network has stages 0 to 2"):
        guess("surgical", stage=3)


def test_frozen_heads_ask_for_no_training() -> None:
    """Feature extraction is a head and no phases; numbers left to the core are not named."""
    for name, kind in (
        ("ridge", "ridge"),
        ("logistic", "logistic"),
        ("prototypes", "cosine_prototypes"),
        ("knn", "knn"),
    ):
        plan = guess(name)
        assert plan.phases == ()
        assert plan.head.kind == kind
        assert STRATEGIES[name].regime == "feature_extraction"
    assert dict(guess("ridge").head.numbers) == {}
    assert dict(guess("ridge", strength=3.0).head.numbers) == {"strength": 3.0}
    assert guess("prototypes", metric="euclidean").head.kind == "prototypes"
    assert guess("logistic", layers="all").head.layers == "all"


def test_steps_follow_epochs_and_batch() -> None:
    """The length is epochs times the steps of one pass; small sets get more passes, large ones fewer."""
    assert guess("full", epochs=3.0).steps == 3 * HERE.steps_per_epoch
    epochs = [knobs.epochs_for(context(images, batch=32)) for images in (100, 1_000, 5_000, 20_000, 100_000)]
    assert epochs == sorted(epochs, reverse=True)
    assert knobs.epochs_for(context(100, batch=32)) <= 30


def run(strategy: Strategy, here: Context = HERE, **changes: Any) -> training.Loop:
    first = strategy.first_guesses(here)[0]
    batch = {"batch": here.batch} if "batch" in first else {}  # an episode is a batch of its own
    parameters = {**first, "epochs": 2.0, **batch, **changes}
    plan = strategy.plan(parameters, here)
    return training.Loop(classifier(), plan, digits(target=True), size_px=12, seed=0, compute=COMPUTE)


@pytest.mark.parametrize("name", [name for name in TRAINED if STRATEGIES[name].applies(HERE) is None])
def test_every_trained_strategy_trains_what_it_says(name: str) -> None:
    """Each plan runs to its end in the one loop; exactly the stages of its phases move, and the head."""
    loop = run(STRATEGIES[name])
    before = weights(loop.classifier)
    losses = [step.loss for step in loop.run()]
    assert np.isfinite(losses).all()
    named = {stage for phase in loop.plan.phases for stage, rate in phase.rates.items() if rate > 0}
    layers = {"stem": "layer_1", "middle": "layer_11", "top": "layer_12"}
    moved = {n.split(".")[1] for n in changed(before, weights(loop.classifier)) if n.startswith("body.")}
    assert moved == {layers[stage] for stage in named}
    assert changed(before, weights(loop.finish()))


def inputs(alpha_from: dict[str, torch.Tensor], now: dict[str, torch.nn.Parameter]) -> TermInputs:
    empty = torch.zeros(1, 2)
    return TermInputs(
        step=0, steps=1, features=empty, logits=empty, labels=torch.zeros(1).long(), parameters=now, start=alpha_from
    )


def test_l2_sp_is_its_formula() -> None:
    """alpha / 2 |w - w0|^2 on the body + beta / 2 |w|^2 on the head, with the gradient that follows."""
    draw = torch.Generator().manual_seed(0)
    start = {n: torch.randn(3, 2, generator=draw) for n in ("body.a", "head.weight")}
    now = {n: torch.nn.Parameter(torch.randn(3, 2, generator=draw)) for n in start}
    value = anchored.l2_sp(inputs(start, now), alpha=0.3, beta=0.05)
    expected = 0.15 * (now["body.a"] - start["body.a"]).square().sum() + 0.025 * now["head.weight"].square().sum()
    torch.testing.assert_close(value, expected)
    value.backward()
    torch.testing.assert_close(now["body.a"].grad, 0.3 * (now["body.a"] - start["body.a"]).detach())
    torch.testing.assert_close(now["head.weight"].grad, 0.05 * now["head.weight"].detach())


def test_interpolation_is_exact_at_its_ends() -> None:
    """alpha 0 is the start and 1 the tuned weights, bit for bit; between them the line."""
    draw = torch.Generator().manual_seed(1)
    start = {n: torch.randn(4, generator=draw) for n in ("a", "b")}
    tuned = {n: torch.randn(4, generator=draw) for n in ("a", "b")}
    for name in start:
        assert torch.equal(anchored.interpolate(start, tuned, alpha=0.0)[name], start[name])
        assert torch.equal(anchored.interpolate(start, tuned, alpha=1.0)[name], tuned[name])
        third = anchored.interpolate(start, tuned, alpha=0.3)[name]
        torch.testing.assert_close(third, 0.7 * start[name] + 0.3 * tuned[name])


def test_l2_sp_stays_nearer_and_wise_leaves_alpha_to_the_core() -> None:
    """The pull shortens the way from the start; WiSE names alpha as the core's choice unless it is given."""
    distance = {}
    for name in ("full", "l2_sp"):
        more = {"alpha": 100.0} if name == "l2_sp" else {}
        loop = run(STRATEGIES[name], epochs=4.0, weight_decay=0.0, **more)
        start = weights(loop.classifier)
        list(loop.run())
        now = loop.classifier.state_dict()
        distance[name] = sum(float((now[n] - start[n]).square().sum()) for n in start if n.startswith("body"))
    assert distance["l2_sp"] < 0.7 * distance["full"]
    finish = guess("wise_ft").finish
    assert finish is not None
    assert finish.fitted == ("alpha",)
    assert guess("wise_ft", alpha_from="given", alpha=0.25).finish.fitted == ()
