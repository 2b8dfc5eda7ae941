"""The first-party strategies: plans say what they should, and each of them trains."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from first_party import HERE, STRATEGIES, guess, run
from parameter_draws import Drawn
from small_network import changed, context, weights

from advisor.errors import PluginError
from advisor_strategies import knobs

TRAINED = [name for name, s in STRATEGIES.items() if s.plan(s.first_guesses(context())[0], context()).phases]


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
