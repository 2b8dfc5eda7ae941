"""Rules that every strategy keeps: what it declares, draws and guesses, what its plans say, what training moves.

In: a strategy. Out: one `Check` a rule; all but the last two run without torch. The tiny network that is trained has
three stages with BatchNorm, 24 px and eight images of noise. Does NOT cover: whether the strategy helps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from advisor import plugin_validation
from advisor.errors import BrokenPluginError, RuleError
from advisor.hooks import Backbone, Context, Parameter, Preprocess, Stage, Strategy, TrainPlan
from advisor.testing import contexts, plans
from advisor.testing.checks import Check, run

if TYPE_CHECKING:
    from torch import nn

    from advisor.training.soft_answers import SoftAnswers

_SEEDS = range(4)
_MOST_STEPS = 60  # of the tiny training run


def check(strategy: Strategy) -> list[Check]:
    """Check every rule; later ones are left out where the strategy is not declared rightly or applies nowhere."""
    declared = run("declares what hooks.Strategy asks for", lambda: _declared(strategy))
    checks = [declared]
    if declared.passed:
        checks.append(run("applies somewhere, and says why not elsewhere", lambda: _applies(strategy)))
    if not all(c.passed for c in checks):
        return checks
    return [
        *checks,
        run("first guesses are complete and legal", lambda: _guesses(strategy)),
        run("draws legal parameters, the same from the same draws", lambda: _space(strategy)),
        run("plans can be executed", lambda: _plans(strategy)),
        run("terms and finish can be imported", lambda: _importable(strategy)),
        run("what is not named stands still, what is named trains", lambda: _trained(strategy)),
    ]


def _declared(strategy: Strategy) -> str:
    try:
        plugin_validation.strategy(strategy)
    except BrokenPluginError as reason:
        raise RuleError(str(reason)) from None
    parameters = plugin_validation.card(strategy).parameters
    names = [p.name for p in parameters]
    for parameter in parameters:
        if names.count(parameter.name) > 1:
            raise RuleError(f"card: parameter {parameter.name} is declared twice")
        _legal(parameter, parameter.default, "card: the default of")
    return f"{len(names)} parameters"


def _legal(parameter: Parameter, value: Any, where: str) -> None:
    stated = f"{where} {parameter.name} is {value!r}"
    if parameter.kind == "choice":
        if value not in parameter.choices:
            raise RuleError(f"{stated}, expected one of {', '.join(map(str, parameter.choices))}")
        return
    if parameter.kind not in ("float", "int"):
        raise RuleError(f"card: {parameter.name} is of kind {parameter.kind!r}, expected float, int or choice")
    whole = parameter.kind == "int"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not math.isfinite(value):
        raise RuleError(f"{stated}, expected a {'whole ' if whole else ''}number")
    if (parameter.low is not None and value < parameter.low) or (parameter.high is not None and value > parameter.high):
        raise RuleError(f"{stated}, expected {parameter.low} to {parameter.high}")


def _applies(strategy: Strategy) -> str:
    reasons = [strategy.applies(context) for context in contexts.variety()]
    bad = next((a for a in reasons if a is not None and not (isinstance(a, str) and a.strip())), None)
    if bad is not None:
        raise RuleError(f"applies() gives {bad!r}, expected None or the reason why not, in words")
    if None not in reasons:
        raise RuleError(f"applies in none of {len(reasons)} contexts; the first reason: {reasons[0]}")
    return f"in {reasons.count(None)} of {len(reasons)} contexts"


def _where_it_applies(strategy: Strategy) -> list[Context]:
    return [context for context in contexts.variety() if strategy.applies(context) is None]


def _given(strategy: Strategy, parameters: object, where: str) -> Mapping[str, Any]:
    if not isinstance(parameters, Mapping):
        raise RuleError(f"{where} gives a {type(parameters).__name__}, expected parameters by name")
    declared = {p.name: p for p in plugin_validation.card(strategy).parameters}
    for name, value in parameters.items():
        if declared and name not in declared:
            raise RuleError(f"{where} gives {name}, which the card does not declare")
        if value is not None and not isinstance(value, (bool, int, float, str)):
            raise RuleError(f"{where} gives {name} = {value!r}, expected a plain value (number, text, true, false)")
        if name in declared:
            _legal(declared[name], value, where)
    return parameters


def _guesses(strategy: Strategy) -> str:
    most = 0
    for context in _where_it_applies(strategy):
        guesses = list(strategy.first_guesses(context))
        if not guesses:
            raise RuleError("first_guesses() is empty: the first guess is the untuned default")
        for guess in guesses:
            _given(strategy, guess, "first_guesses()")
        if list(strategy.first_guesses(context)) != guesses:
            raise RuleError("first_guesses() gives different parameters for the same context")
        most = max(most, len(guesses))
    return f"up to {most}"


def _space(strategy: Strategy) -> str:
    drawn: set[str] = set()
    kinds: dict[str, tuple[Any, ...]] = {}
    for context in _where_it_applies(strategy):
        for seed in _SEEDS:
            draws = contexts.Draws(seed)
            parameters = _given(strategy, strategy.space(draws, context), "space()")
            if strategy.space(contexts.Draws(seed), context) != parameters:
                raise RuleError("space() gives different parameters for the same draws: draw from `trial` only")
            _same_names(draws, parameters, kinds)
            drawn |= set(draws.asked)
    return f"searches {', '.join(sorted(drawn)) or 'nothing'}"


def _same_names(draws: contexts.Draws, parameters: Mapping[str, Any], kinds: dict[str, tuple[Any, ...]]) -> None:
    """Demand what lets a sampler learn: values returned as they were drawn, of one kind, scale and set of choices."""
    for name, value in draws.drawn.items():
        if name not in parameters or parameters[name] != value:
            raise RuleError(
                f"space() draws {name} = {value!r} and returns {dict(parameters)}: return it as it was drawn"
            )
        asked = draws.asked[name]
        kind = asked if asked[0] == "choice" else (asked[0], "log" if asked[3] else "linear")
        if kinds.setdefault(name, kind) != kind:
            raise RuleError(
                f"space() draws {name} as {kinds[name]} in one context and as {kind} in another: only ranges may differ"
            )


def _all_plans(strategy: Strategy) -> Iterator[tuple[TrainPlan, Mapping[str, Any], Context]]:
    for context in _where_it_applies(strategy):
        drawn = [strategy.space(contexts.Draws(seed), context) for seed in _SEEDS]
        for parameters in [*strategy.first_guesses(context), *drawn]:
            yield strategy.plan(parameters, context), parameters, context


def _plans(strategy: Strategy) -> str:
    count = 0
    for plan, parameters, context in _all_plans(strategy):
        faults = plans.faults(plan, context)
        if faults:
            raise RuleError(f"with {dict(parameters)} and {context.images} images: {faults[0]}")
        if strategy.plan(parameters, context) != plan:
            raise RuleError("plan() gives two different plans for the same parameters and context")
        count += 1
    return f"{count} plans"


def _importable(strategy: Strategy) -> str:
    from advisor.training import loss_terms

    named = [t for p, _, _ in _all_plans(strategy) for t in [*p.terms, p.adapter, p.finish] if t is not None]
    terms = {t.function: t for t in named}
    for term in terms.values():
        if not callable(loss_terms.load(term)):
            raise RuleError(f"{term.function} is not a function")
    return ", ".join(sorted(terms))


# ---- training ----------------------------------------------------------------------------------------------------


def _tiny() -> Backbone:
    names = ("stem", "middle", "last")
    stages = tuple(Stage(name=n, prefixes=(n,)) for n in names)
    return Backbone(name="tiny", dim=16, stages=stages, preprocess=Preprocess(size=24, resize=24), build=_build_tiny)


def _build_tiny() -> nn.Module:
    from collections import OrderedDict

    from torch import nn

    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())

    layers = {"stem": block(3, 8), "middle": block(8, 16), "last": block(16, 16)}
    return nn.Sequential(OrderedDict({**layers, "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}))


def _trained(strategy: Strategy) -> str:
    context = contexts.context(images=8, classes=2, target=True, teacher=True, stages=("stem", "middle", "last"))
    reason = strategy.applies(context)
    if reason is not None:
        return f"not looked at: {reason}"
    plan = strategy.plan(strategy.first_guesses(context)[0], context)
    if not plan.phases:
        return "nothing is trained by gradient"
    moved, steps = _train(plan)
    named = {stage for phase in plan.phases for stage, rate in phase.rates.items() if rate > 0}
    if plan.finish is None and plan.phases[-1].start < steps:
        _compare(moved, named, any(p.head_rate > 0 for p in plan.phases))
    return f"{steps} steps, moved {', '.join(sorted(moved)) or 'nothing'}"


def _compare(moved: set[str], named: set[str], head: bool) -> None:
    expected = named | ({"head"} if head else set())
    strays, idle = sorted(moved - expected), sorted(expected - moved)
    if strays:
        raise RuleError(f"{strays[0]} moved, and no phase names it")
    if idle:
        raise RuleError(f"{idle[0]} did not move, though a phase trains it")


def _train(plan: TrainPlan) -> tuple[set[str], int]:
    import numpy as np
    import torch
    from torch import nn

    from advisor.models import backbone
    from advisor.models.classifier import Classifier
    from advisor.records import Compute
    from advisor.training import loss_terms
    from advisor.training.loop import Loop, TrainData

    tiny = _tiny()
    body = backbone.build(tiny)
    classifier = Classifier(tiny, body, nn.Linear(tiny.dim, 2), "last")
    before = {n: v.clone() for n, v in classifier.state_dict().items()}
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 24, 3), dtype=np.uint8)
    data = TrainData(
        canvas=noise[:8],
        labels=np.arange(8) % 2,
        ids=np.arange(8, dtype=np.uint64),
        rows=np.arange(8),
        target_canvas=noise[8:],
        target_ids=np.arange(8, 16, dtype=np.uint64),
        answers=_answers(plan.views) if loss_terms.needs_teacher(plan.terms) else None,
    )
    loop = Loop(classifier, plan, data, size_px=24, seed=0, compute=Compute(layout="contiguous"))
    steps = sum(1 for _ in loop.run(_MOST_STEPS))
    after = classifier.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    loop.finish()  # an adapter is taken out, and the plan's finish is applied
    return {_part(name) for name in moved}, steps


def _answers(views: int) -> SoftAnswers:
    import numpy as np

    from advisor.training import soft_answers

    logits = np.random.default_rng(1).normal(size=(max(1, views), 16, 2))
    return soft_answers.make(np.arange(16, dtype=np.uint64), logits, view_seed=0)


def _part(name: str) -> str:
    head, _, rest = name.partition(".")
    return rest.split(".")[0] if head == "body" else head
