"""Check that the training loop can execute a plan: each fault in words, with the field that is wrong.

In: a `TrainPlan` and the context that it was made for. Out: faults, none where all is well. No network is built.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Mapping

from advisor.hooks import AUGMENTATION_LEVELS, Context, Head, Phase, TrainPlan
from advisor.schedules import SCHEDULES

_CHOICES: dict[str, tuple[str, ...]] = {
    "norm": ("trained", "frozen"),
    "fit": ("crop", "squash", "pad"),
    "class_weights": ("none", "balanced", "logit_adjust"),
}
_OPTIMIZERS = ("sgd", "adam", "adamw")
_STREAMS = ("labelled", "target", "episodic")
_ONLY = ("all", "norm", "bias", "adapter")


# Numbers of a plan by what they may be: shares below 1, shares up to 1, anything from 0.
_BELOW_ONE = ("label_smoothing", "ema", "optimizer.momentum", "optimizer.beta2")
_SHARES = ("schedule.warmup", "schedule.every", "schedule.gamma", "schedule.floor", "augmentation.scale")
_FROM_ZERO = ("views", "optimizer.weight_decay", "optimizer.clip_norm", "augmentation.mixup", "augmentation.cutmix")


def faults(plan: object, context: Context) -> list[str]:
    """List what is wrong with a plan, most telling first."""
    if not isinstance(plan, TrainPlan):
        return [f"plan() gives a {type(plan).__name__}, expected a TrainPlan"]
    return [*untrainable(plan, context), *_starts(plan)]


def untrainable(plan: TrainPlan, context: Context) -> list[str]:
    """List what no training can do as the plan says it; where two phases begin at one step the later one counts."""
    parts = (_length(plan), _phases(plan, context), _head(plan, context), _choices(plan), _ranges(plan))
    return [*itertools.chain(*parts), *_functions(plan, context)]


def _length(plan: TrainPlan) -> Iterator[str]:
    if bool(plan.phases) != (plan.steps > 0):
        yield f"{len(plan.phases)} phases in {plan.steps} steps: phases need steps, and a plan without phases has none"
    if not isinstance(plan.steps, int) or not isinstance(plan.batch, int) or plan.batch < 1:
        yield f"steps is {plan.steps!r} and batch is {plan.batch!r}, expected whole numbers, batch above 0"
    starts = [p.start for p in plan.phases]
    if plan.phases and min(starts) != 0:
        yield f"the first phase begins at step {min(starts)}, expected 0"


def _starts(plan: TrainPlan) -> Iterator[str]:
    starts = [p.start for p in plan.phases]
    if len(set(starts)) != len(starts):
        yield f"two phases begin at the same step ({starts})"


def _phases(plan: TrainPlan, context: Context) -> Iterator[str]:
    stage_names = {s.name for s in context.stages}
    for phase in plan.phases:
        at = f"the phase at step {phase.start!r}"
        if not isinstance(phase.start, int) or phase.start < 0:
            yield f"{at}: expected a whole number, 0 or more"
        if not isinstance(phase.warmup, int) or phase.warmup < 0:
            yield f"{at}: warmup is {phase.warmup!r}, expected a number of steps, 0 or more"
        if phase.only not in _ONLY:
            yield f"{at}: only is {phase.only!r}, expected one of {', '.join(_ONLY)}"
        stray = sorted(set(phase.rates) - stage_names)
        if stray:
            yield f'{at} names stage "{stray[0]}", and the network has {", ".join(s.name for s in context.stages)}'
        yield from _rates(phase, at)


def _rates(phase: Phase, at: str) -> Iterator[str]:
    for name, rate in {**phase.rates, "the head": phase.head_rate}.items():
        if not isinstance(rate, (int, float)) or not math.isfinite(rate) or rate < 0:
            yield f"{at}: the rate of {name} is {rate!r}, expected a number, 0 or more"
    if not any(phase.rates.values()) and not phase.head_rate:
        yield f"{at} trains nothing"


def _head(plan: TrainPlan, context: Context) -> Iterator[str]:
    from advisor.heads import KINDS

    head: Head = plan.head
    if head.kind not in KINDS:
        yield f"head.kind is {head.kind!r}, expected one of {', '.join(KINDS)}"
    if (head.kind == "linear") != bool(plan.phases):
        yield f"a {head.kind} head with {len(plan.phases)} phases: only a linear head is trained, and it has to be"
    if head.layers not in ("last", "all", *(s.name for s in context.stages)):
        yield f'head.layers is {head.layers!r}, expected "last", "all" or the name of a stage'
    if head.start not in ("probe", "zeros", "random"):
        yield f"head.start is {head.start!r}, expected probe, zeros or random"
    yield from _numbers("head.numbers", head.numbers)


def _choices(plan: TrainPlan) -> Iterator[str]:
    chosen = {name: (getattr(plan, name), choices) for name, choices in _CHOICES.items()}
    chosen["optimizer.name"] = (plan.optimizer.name, _OPTIMIZERS)
    chosen["schedule.name"] = (plan.schedule.name, tuple(SCHEDULES))
    chosen["augmentation.level"] = (plan.augmentation.level, AUGMENTATION_LEVELS)
    for stream in plan.streams:
        chosen["streams"] = (stream.name, _STREAMS)
        if stream.name == "episodic" and min(stream.ways - 1, stream.shots, stream.queries) < 1:
            yield f"streams: {stream.ways} ways, {stream.shots} shots, {stream.queries} queries make no episode"
    for name, (value, choices) in chosen.items():
        if value not in choices:
            yield f"{name} is {value!r}, expected one of {', '.join(choices)}"


def _ranges(plan: TrainPlan) -> Iterator[str]:
    for name in (*_BELOW_ONE, *_SHARES, *_FROM_ZERO):
        value = operator.attrgetter(name)(plan)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_legal = is_number and 0 <= value < math.inf and (name in _FROM_ZERO or value <= 1)
        if not is_legal or (name in _BELOW_ONE and value == 1):
            span = "0 or more" if name in _FROM_ZERO else "from 0 to below 1" if name in _BELOW_ONE else "from 0 to 1"
            yield f"{name} is {value!r}, expected a number {span}"


def _functions(plan: TrainPlan, context: Context) -> Iterator[str]:
    for term in [*plan.terms, *(term for term in (plan.adapter, plan.finish) if term is not None)]:
        module, colon, function = term.function.partition(":")
        if not colon or not all(part.isidentifier() for part in [*module.split("."), function]):
            yield f'"{term.function}" is no function, expected "module:function"'
        yield from _numbers(term.function, term.numbers)
    if any(s.name == "target" for s in plan.streams) and not context.has_target:
        yield "it wants a target domain where there is none: applies() should have said so"


def _numbers(name: str, numbers: Mapping[str, float]) -> Iterator[str]:
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            yield f"{name}[{key}] is {value!r}, expected a finite number"
