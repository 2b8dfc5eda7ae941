"""The guard of third-party code: failures get the plugin's name; short memory, our own errors and good code pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import faulty_plugins
import msgspec
import numpy as np
import optuna
import pytest
import small_network
import torch

from advisor import plugin_guard, registry
from advisor.errors import BackboneError, InputError, PluginError, StrategyError
from advisor.hooks import Card, Parameter, TrainPlan
from advisor.models import backbone as backbones
from advisor.plugin_guard import Failure, GuardedStrategy

OWNER = "plugin mine (my-package)"
CONTEXT = small_network.context()


@dataclass(frozen=True)
class Ridge:
    """Our ridge strategy with some functions replaced, as a stranger would write them."""

    replaced: Mapping[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return self.replaced.get(name) or getattr(registry.load().strategies["ridge"], name)


def raising(error: BaseException) -> Any:
    """Return a function that raises."""

    def fail(*args: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("member", ["build", "run_stage", "pool"])
def test_a_network_that_raises_is_named_with_its_plugin(member: str) -> None:
    """Its function, the exception and its words as well; what it returns is passed on unchanged."""
    plain = small_network.backbone()
    images = torch.zeros(2, 3, 16, 16)
    good = plugin_guard.guarded_backbone(plain, OWNER)
    module = backbones.build(good)
    assert torch.equal(backbones.pooled(good, module, images)[-1], backbones.pooled(plain, module, images)[-1])
    bad = plugin_guard.guarded_backbone(replace(plain, **{member: raising(KeyError("x"))}), OWNER)
    with pytest.raises(BackboneError) as caught:
        backbones.pooled(bad, module if member != "build" else backbones.build(bad), images)
    assert caught.value.reason == f"{OWNER} failed: {member}() raised KeyError: 'x'"
    assert str(caught.value).startswith(f"network small: {caught.value.reason}. `tl-advise plugins check small`")
    assert caught.value.backbone == "small"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory"), InputError("no such name")], ids=repr
)
def test_short_memory_and_errors_of_ours_pass(error: Exception) -> None:
    """They are no fault of the plugin."""
    bad = plugin_guard.guarded_backbone(replace(small_network.backbone(), run_stage=raising(error)), OWNER)
    with pytest.raises(type(error)):
        bad.run_stage(None, 0, None)


def test_a_network_whose_features_have_another_shape_is_named() -> None:
    """The last stage pools to (N, dim), as its card says."""
    wrong = replace(small_network.backbone(), dim=25)
    module = backbones.build(wrong)
    with pytest.raises(PluginError, match=r"stage top pools to \(2, 24\), expected \(N, 25\)"):
        backbones.checked_pooled(wrong, module, torch.zeros(2, 3, 16, 16))


def test_a_good_strategy_answers_as_before() -> None:
    """Name, regime, card, other members; the same reasons, guesses, draws and plans."""
    plain = Ridge()
    guarded = GuardedStrategy(plain, OWNER)
    assert (guarded.name, guarded.regime, guarded.card) == (plain.name, plain.regime, plain.card)
    assert guarded.applies(CONTEXT) is None
    guesses = guarded.first_guesses(CONTEXT)
    assert guesses == list(plain.first_guesses(CONTEXT))
    assert guarded.plan(guesses[0], CONTEXT) == plain.plan(guesses[0], CONTEXT)
    reason = GuardedStrategy(Ridge({"applies": lambda context: "too few images"}), OWNER).applies(CONTEXT)
    assert reason == "too few images"
    assert not isinstance(reason, Failure)


@pytest.mark.parametrize(
    ("member", "function", "said"),
    [
        ("applies", raising(KeyError("x")), "applies() raised KeyError: 'x'"),
        ("applies", lambda context: ["no"], "applies() returned ['no'], expected None or text"),
        ("first_guesses", raising(SystemExit("no")), "first_guesses() raised SystemExit: no"),
        ("first_guesses", lambda context: {"strength": 1.0}, "expected a list of parameters"),
        ("first_guesses", lambda context: [3], "first_guesses() returned 3, expected parameters by name"),
        ("first_guesses", lambda context: [{"x": [1]}], "first_guesses() returned x=[1], expected a number or text"),
        ("first_guesses", lambda context: [{"x": float("nan")}], "returned x=nan, expected a finite number"),
        ("first_guesses", lambda context: [{"x": np.float32("inf")}], "returned x=inf, expected a finite number"),
        (
            "first_guesses",
            lambda context: [{"x": "\ud800"}],
            "returned 'x'='\\ud800', expected text that UTF-8 can hold",
        ),
        (
            "first_guesses",
            lambda context: [{"strength": -1.0}],
            "first_guesses().strength: expected a number from 0 to 1e+12, got -1.0 (by its card)",
        ),
        ("first_guesses", lambda context: [{"stength": 1.0}], 'unknown field of the strategy "ridge", did you mean'),
        ("space", lambda trial, context: {"layers": "top"}, "space().layers: expected one of"),
        ("space", raising(ValueError("low > high")), "space() raised ValueError: low > high"),
        ("space", lambda trial, context: None, "space() returned None, expected parameters by name"),
        ("plan", raising(IndexError("no stage")), "plan() raised IndexError: no stage"),
        ("plan", lambda parameters, context: TrainPlan(ema=float("nan")), "a plan with a number that is not finite"),
        ("plan", lambda parameters, context: {}, "plan() returned a dict, expected a TrainPlan"),
    ],
)
def test_a_strategy_that_fails_does_not_apply(member: str, function: Any, said: str) -> None:
    """The reason is a failure that names the plugin; whoever calls the function itself gets it as an error."""
    guarded = GuardedStrategy(Ridge({member: function}), OWNER)
    reason = guarded.applies(CONTEXT)
    assert isinstance(reason, Failure)
    assert reason.startswith(f"{OWNER} failed: ")
    assert said in reason
    if member == "plan":
        with pytest.raises(StrategyError, match="strategy ridge: plugin mine"):
            guarded.plan({}, CONTEXT)


@pytest.mark.parametrize(("regime", "applies"), [("feature_extraction", True), ("partial", False), ("full", False)])
def test_a_strategy_that_trains_stages_does_not_apply_to_a_network_with_nothing_to_train(
    regime: str, applies: bool
) -> None:
    """Of a network whose features are used as they are no stage has parameters, whatever a plugin's applies() looks at."""
    frozen = replace(CONTEXT, stages=tuple(replace(stage, parameters=0) for stage in CONTEXT.stages))
    strategy = GuardedStrategy(Ridge({"regime": regime}), OWNER)
    assert strategy.applies(CONTEXT) is None
    assert (strategy.applies(frozen) is None) is applies


NUMPY_PARAMETERS = {
    "strength": np.float64(1.0),
    "mirror": np.bool_(True),
    "width": np.int64(3),
    "kind": np.str_("a"),
    "none": None,
    "flag": False,
}


def test_numpy_values_of_a_strategy_become_plain_ones() -> None:
    """Parameters are written down as JSON, which takes no numpy number; a truth value stays one."""
    first = Parameter(name="strength", default=np.float64(1), meaning="", low=np.float32(0))
    chosen = [
        Parameter(name=name, default=value, meaning="", kind="choice", choices=(value,))
        for name, value in NUMPY_PARAMETERS.items()
        if name != "strength"
    ]
    from_numpy = {
        "first_guesses": lambda context: [NUMPY_PARAMETERS],
        "space": lambda trial, context: NUMPY_PARAMETERS,
        "plan": lambda parameters, context: TrainPlan(ema=np.float32(0.5), views=np.int64(2)),
        "regime": np.str_("partial"),
        "card": Card(what="A head.", when="", parameters=(first, *chosen)),
    }
    guarded = GuardedStrategy(Ridge(from_numpy), OWNER)
    assert guarded.applies(CONTEXT) is None
    drawn = [*guarded.first_guesses(CONTEXT), guarded.space(optuna.trial.FixedTrial({}), CONTEXT)]
    for parameters in drawn:
        assert msgspec.json.decode(msgspec.json.encode(parameters)) == parameters == dict(NUMPY_PARAMETERS)
        assert [type(v) for v in parameters.values()] == [float, bool, int, str, type(None), bool]
    plan = guarded.plan({}, CONTEXT)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=TrainPlan) == plan == TrainPlan(ema=0.5, views=2)
    assert msgspec.json.decode(msgspec.json.encode([guarded.regime, guarded.card]))[0] == "partial"


def test_only_third_party_code_is_guarded_and_only_where_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours never is; the conformance kit takes the plugin's own functions."""
    monkeypatch.setenv("MENAGERIE", "bad_forward bad_plan")
    with faulty_plugins.installed(tmp_path):
        guarded, plain = registry.load(), registry.load(guarded=False)
    assert isinstance(guarded.strategies["bad_plan"], GuardedStrategy)
    assert not isinstance(plain.strategies["bad_plan"], GuardedStrategy)
    assert not isinstance(guarded.strategies["ridge"], GuardedStrategy)
    assert guarded.backbones["pocket"] == plain.backbones["pocket"]
    with pytest.raises(BackboneError, match=r"network bad_forward: plugin menagerie \(tl-menagerie\) failed"):
        guarded.backbones["bad_forward"].run_stage(None, 0, None)
    with pytest.raises(RuntimeError, match="it broke"):
        plain.backbones["bad_forward"].run_stage(None, 0, None)
