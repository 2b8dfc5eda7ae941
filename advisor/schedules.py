"""Learning rates as plain functions of step and stage: schedules, layer-wise rates, unfreezing from the head down.

In: a `ScheduleSpec` with a step, or stage names with rates. Out: factors in 0..1, rates per stage, phases. A schedule
gives one factor; every parameter group multiplies it with its own peak rate, so no group is flattened to another's.
Does NOT cover: applying them (`training`), or choosing them (strategies).
Sources: cosine, Loshchilov and Hutter 2016 (1608.03983); one cycle, Smith and Topin 2017 (1708.07120); layer-wise
rates and gradual unfreezing, Howard and Ruder 2018 (1801.06146); geometric decay, Clark et al. 2020 (2003.10555).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from advisor.errors import InputError
from advisor.records.plan import Phase, ScheduleSpec

__all__ = [
    "HEAD",
    "SCHEDULES",
    "at_once",
    "factor",
    "gradual",
    "layer_decay",
    "phase_at",
    "ramp",
    "rates_at",
    "segment",
    "spread",
]

SCHEDULES = ("constant", "cosine", "flat_decay", "onecycle", "step")
HEAD = "<head>"  # stands for the head where stages are named; no stage has this name
ONECYCLE_START = 1 / 25  # first factor of one cycle, and
ONECYCLE_END = ONECYCLE_START / 1e4  # its last one: the paper's reference values


def factor(schedule: ScheduleSpec, step: int, steps: int) -> float:
    """Return the factor 0..1 on the peak rate at `step` of `steps` (counted from 0).

    Raises InputError where the schedule's name is unknown.
    """
    if schedule.name not in SCHEDULES:
        raise InputError(f"schedule {schedule.name!r}: expected one of {', '.join(SCHEDULES)}.")
    step = min(max(step, 0), max(steps - 1, 0))
    if schedule.name == "onecycle":
        return _onecycle(schedule, step, steps)
    warm = round(schedule.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)  # share of what follows the warm-up, 0..1
    if schedule.name == "cosine":
        return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * done))
    if schedule.name == "step":
        return max(schedule.floor, schedule.gamma ** int(step / max(1.0, schedule.every * steps) + 1e-9))
    if schedule.name == "flat_decay":
        remaining = (1 - done) / max(schedule.every, 1e-9)
        return schedule.floor + (1 - schedule.floor) * min(1.0, remaining)
    return 1.0


def _onecycle(schedule: ScheduleSpec, step: int, steps: int) -> float:
    top = schedule.warmup * steps - 1  # the step of the peak
    if step <= top:
        return _cosine(ONECYCLE_START, 1.0, step / top if top > 0 else 1.0)
    return _cosine(1.0, max(schedule.floor, ONECYCLE_END), (step - top) / max(1.0, steps - 1 - top))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))


def layer_decay(names: Sequence[str], base: float, decay: float) -> dict[str, float]:
    """Return a rate per stage: `base` for the last of `names` (stem to head), `decay` times its successor's for the others.

    Raises InputError where `decay` lies outside 0..1: rates fall from head to stem, never the other way.
    """
    if not 0 < decay <= 1:
        raise InputError(f"layer decay {decay}: expected a number above 0, at most 1 (rates fall from head to stem).")
    return {name: base * decay ** (len(names) - 1 - i) for i, name in enumerate(names)}


def spread(names: Sequence[str], low: float, high: float) -> dict[str, float]:
    """Return rates spaced geometrically from `low` at the first of `names` (the stem) to `high` at the last: fast.ai's slice.

    Raises InputError where `low` is above `high`, or not above 0.
    """
    if not 0 < low <= high:
        raise InputError(f"rates from {low} to {high}: expected 0 < low <= high (stem below head).")
    if len(names) < 2:
        return dict.fromkeys(names, high)
    ratio = (high / low) ** (1 / (len(names) - 1))
    return {name: low * ratio**i for i, name in enumerate(names)}


def at_once(rates: Mapping[str, float], head_rate: float, *, only: str = "all") -> tuple[Phase, ...]:
    """Return one phase that trains all of `rates` and the head from the first step on."""
    return (Phase(start=0, rates=dict(rates), head_rate=head_rate, only=only),)


def gradual(
    rates: Mapping[str, float], head_rate: float, *, first: int, every: int, warmup: int = 0, only: str = "all"
) -> tuple[Phase, ...]:
    """Return phases that unfreeze from the head down: from step `first` the last stage, then one more every `every` steps.

    `rates` are ordered from stem to head. Each newly freed stage rises to its rate over `warmup` steps.
    """
    names = list(rates)
    phases = [Phase(start=0, head_rate=head_rate, only=only)] if first > 0 else []
    for k in range(1, len(names) + 1):
        freed = {name: rates[name] for name in names[-k:]}
        start = first + (k - 1) * max(1, every)
        phases.append(Phase(start=start, rates=freed, head_rate=head_rate, only=only, warmup=warmup))
    return tuple(phases)


def phase_at(phases: Sequence[Phase], step: int) -> int:
    """Return the index of the phase in force at `step`: the last one that has begun."""
    return max((i for i, phase in enumerate(phases) if phase.start <= step), default=0)


def rates_at(schedule: ScheduleSpec, phases: Sequence[Phase], step: int, steps: int) -> dict[str, float]:
    """Return the rate of every stage that trains at `step`, the head's under `HEAD`; frozen stages are absent.

    A stage that an earlier phase left frozen rises to its rate over the `warmup` of the phase that freed it, also when
    a further phase begins meanwhile.
    """
    now = phase_at(phases, step)
    begin, end = segment(phases, step, steps)
    scale = factor(schedule, step - begin, end - begin)
    rates = {}
    for name, peak in _peaks(phases[now]).items():
        freed = now
        while freed > 0 and name in _peaks(phases[freed - 1]):
            freed -= 1
        rates[name] = peak * scale * (ramp(phases[freed], step) if freed > 0 else 1.0)
    return rates


def _peaks(phase: Phase) -> dict[str, float]:
    every = {**phase.rates, HEAD: phase.head_rate}
    return {name: rate for name, rate in every.items() if rate > 0}


def ramp(phase: Phase, step: int) -> float:
    """Return the factor 0..1 of groups that this phase has just freed."""
    if phase.warmup <= 0:
        return 1.0
    return min(1.0, (step - phase.start + 1) / (phase.warmup + 1))


def segment(phases: Sequence[Phase], step: int, steps: int) -> tuple[int, int]:
    """Return the steps [begin, end) over which the schedule runs: the whole run, or between phases that restart it."""
    cuts = [0, *(phase.start for phase in phases if phase.restart and 0 < phase.start < steps), steps]
    begin = max(cut for cut in cuts[:-1] if cut <= step)
    return begin, min(cut for cut in cuts if cut > begin)
