"""Numbers and results in words, the same in the terminal, the report and the model card.

In: records. Out: short text without layout or markup. Does NOT cover: tables (`cli._result_table`), HTML (`report`), the
card (`model_card`), what a result is worth (`assessment`).
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from advisor.records import Best, BudgetUse, Calibration, Candidate, LeftOut, Result, TestScore
from advisor.records.objective import OBJECTIVE_WORDS
from advisor.records.trials import REGIME_WORDS
from advisor.runtime import durations

NONE = "–"
MINUS = "−"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a fraction as a percentage, a dash where there is none.

    What would round to 0 or 100 % without being it has up to two digits more: one mistake in 5,000 images is no perfect score.
    """
    if share is None or math.isnan(share):
        return NONE
    most = digits + 2 if 0 < share < 1 else digits
    shown = (f"{100 * share:.{count}f}" for count in range(digits, most + 1))
    text = next((text for text in shown if 0 < float(text) < 100), f"{100 * share:.{digits}f}")
    return f"{text} %"


def tick(share: float) -> str:
    """Write a percentage on an axis: a digit behind the point only where it is needed."""
    return f"{f'{100 * share:.1f}'.removesuffix('.0')} %"


def times(count: int) -> str:
    """Write how often: "1 time", "2 times"."""
    return f"{number(count)} time{'' if count == 1 else 's'}"


def images(count: int, kind: str = "") -> str:
    """Write a number of images: "1 test image", "200 test images"."""
    return f"{number(count)} {kind}{' ' if kind else ''}image{'' if count == 1 else 's'}"


def significant(value: float, digits: int) -> str:
    """Write a number with so many significant digits, never as a power of ten where it is large."""
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def points(difference: float | None) -> str:
    """Write a difference of two fractions as signed percentage points."""
    if difference is None or math.isnan(difference):
        return NONE
    size = f"{abs(100 * difference):.1f}"
    sign = "±" if size == "0.0" else "+" if difference > 0 else MINUS
    return f"{sign}{size} points"


def span(interval: tuple[float, float] | None) -> str:
    """Write an interval of fractions as percentages."""
    return NONE if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def point_span(interval: tuple[float, float]) -> str:
    """Write an interval of differences as signed percentage points."""
    low, high = (points(value).removesuffix(" points") for value in interval)
    return f"{low} to {high} points"


def number(value: float | None) -> str:
    """Write a number with as many digits as a reader can use."""
    if value is None or not math.isfinite(value):
        return NONE
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    return number(round(value)) if abs(value) >= 999.5 else f"{value:.3g}"


def in_epochs(count: float) -> str:
    """Write a number of epochs."""
    return f"{significant(count, 3)} {'epoch' if count == 1 else 'epochs'}"


def megabytes(count: int) -> str:
    """Write a number of bytes in megabytes, "" where it is unknown."""
    return f"{math.ceil(count / 1e6):,} MB" if count else ""


def by_reason(left_out: Sequence[LeftOut]) -> list[LeftOut]:
    """Return one row per reason; results written by older versions have one per network."""
    rows: dict[str, LeftOut] = {}
    for item in left_out:
        first = rows.get(item.reason)
        rows[item.reason] = item if first is None else replace(first, count=first.count + item.count)
    return list(rows.values())


def duration(seconds: float | None) -> str:
    """Write seconds for people, a dash where there are none."""
    return NONE if seconds is None else durations.words(seconds)


def duration_option(seconds: float) -> str:
    """Write seconds as the option --budget takes them, in whole minutes."""
    return f"{math.ceil(seconds / 60)}m"


def time_used(budget: BudgetUse) -> str:
    """Write the time of a run beside its budget, and how far it went over it; without one, beside what was predicted."""
    if budget.asked_s is None:
        predicted = (
            "" if budget.predicted_s is None else f" (predicted after the probes: {duration(budget.predicted_s)})"
        )
        return f"{duration(budget.used_s)}{predicted}"
    beyond = f" ({duration(budget.over_s)} over the budget)" if budget.over_s >= 0.5 else ""
    return f"{duration(budget.used_s)} of {duration(budget.asked_s)}{beyond}"


def series(parts: Sequence[str]) -> str:
    """Join parts as a sentence does: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def calibration(calibration: Calibration) -> str:
    """Write whether the probabilities can be relied on, as far as so few images show it."""
    if calibration.ece is None:
        return "Not measured: there is no test set."
    error = f"calibration error {percent(calibration.ece)}"
    if calibration.ece_by_chance is None or calibration.overconfidence is None or calibration.ci95 is None:
        return f"{error} on the test set."
    chance = f"up to {percent(calibration.ece_by_chance)} would be expected by chance even if they were perfect"
    gap = (
        f"confidence minus accuracy {points(calibration.overconfidence)} (95 % interval {point_span(calibration.ci95)})"
    )
    if calibration.ci95[0] > 0:
        verdict = "The model is overconfident"
    elif calibration.ci95[1] < 0:
        verdict = "The model is underconfident"
    elif calibration.ece <= calibration.ece_by_chance:
        verdict = "The probabilities fit what was observed"
    else:
        verdict = "The probabilities are right on average, but not at every level of confidence"
    return f"{verdict}: {error}, {chance}; {gap}."


def false_alarms(rate: float, flagged: int, n: int, ci95: tuple[float, float]) -> str:
    """Write how many held-out images would be called unknown at a rate, as a sentence."""
    if not n:
        return f"Abstaining at {percent(rate)}; the false alarms were not measured: there are no held-out images."
    return (
        f"Abstaining at {percent(rate)}: {flagged} of {number(n)} held-out test images would be called unknown "
        f"({percent(flagged / n)}, 95 % interval {span(ci95)})."
    )


def quoted(path: str) -> str:
    """Quote a path for a shell."""
    return shlex.quote(path)


def value(setting: Any) -> str:
    """Write one setting: numbers short, the rest as it is."""
    if isinstance(setting, bool) or setting is None:
        return {True: "yes", False: "no", None: NONE}[setting]
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def settings(parameters: Mapping[str, Any]) -> str:
    """Write parameters in one line."""
    return ", ".join(f"{name} {value(setting)}" for name, setting in parameters.items()) or "no parameters"


def regime(name: str) -> str:
    """Return a regime in words."""
    return REGIME_WORDS.get(name, name.replace("_", " "))


def trial(number: int) -> str:
    """Name a trial; probes on frozen features are counted below zero."""
    return f"trial {number}" if number >= 0 else f"probe {-number}"


def shown_parameters(candidate: Candidate) -> dict[str, str]:
    """Return the parameters that belong to a candidate's name, in words: which features, how many epochs."""
    shown = {}
    layers = candidate.parameters.get("layers")
    if layers in ("all", "last"):
        shown["layers"] = "all stages" if layers == "all" else "last stage"
    epochs = candidate.parameters.get("epochs")
    if isinstance(epochs, int | float) and not isinstance(epochs, bool):
        shown["epochs"] = in_epochs(epochs)
    return shown


def candidate(candidate: Candidate) -> str:
    """Name a candidate so that a reader can tell it from others: strategy, network, size, features or epochs."""
    size = f" at {candidate.size_px} px" if candidate.size_px else ""
    details = "".join(f", {text}" for text in shown_parameters(candidate).values())
    return f"{candidate.strategy} on {candidate.backbone}{size}{details}"


def reason(result: Result) -> str:
    """Return why this regime was chosen, as a sentence."""
    why = result.regime.reason.strip()
    return why if why.endswith((".", "!", "?")) or not why else f"{why}."


def choice(best: Best) -> str:
    """Name a network and what was done with it."""
    return f"{best.strategy} on {best.backbone}"


def score(test: TestScore | None, reason: str | None) -> str:
    """Write the test accuracy with its interval, or why there is none."""
    if test is None:
        return f"No test score: {reason or 'the run is not finished'}."
    right = "is right" if test.n == 1 else "are right"
    return f"{percent(test.accuracy)} of {images(test.n, 'test')} {right} (95 % interval {span(test.ci95)})."


def kept_default(result: Result) -> bool:
    """Return True if the untuned default won."""
    return result.baseline is not None and result.baseline.best.trial == result.best.trial


def gain(result: Result) -> str:
    """Write the gain of the search over the untuned default, and whether it is more than noise."""
    if kept_default(result):
        return "The untuned default was kept: no alternative was clearly better."
    if result.gain is None:
        why = "there is no test set" if result.test is None else "which has no test score"
        provisional = "Tuning has not been compared with the untuned default yet."
        return f"Tuning was not compared with the untuned default ({why})." if result.status == "final" else provisional
    brought = f"{points(result.gain.over_baseline)} over the untuned default on the same test images"
    verdict = "within" if result.gain.within_noise else "more than"
    return f"{brought} (95 % interval {point_span(result.gain.ci95)}): {verdict} noise."


def optimism(result: Result) -> str:
    """Write how the best validation score compares with the test; "" where one of them is missing."""
    if result.optimism is None:
        return ""
    size = points(abs(result.optimism)).removeprefix("+").removeprefix("±")
    if size == "0.0 points":
        return "The best validation score equals the test score."
    side = "higher" if result.optimism > 0 else "lower"
    why = " (it chose the model, so it tends to be too high)" if result.optimism > 0 else ""
    return f"The best validation score was {size} {side} than the test score{why}."


def commands(run: str) -> tuple[tuple[str, str], ...]:
    """Return the commands for a run directory, as (purpose, command)."""
    return (
        ("Classify new images", f"tl-advise predict {run} PHOTOS"),
        ("Retrain and verify", f"tl-advise rerun {run} --verify"),
        ("Export the model", f"tl-advise export {run} --format torch"),
    )


def objective(result: Result) -> list[str]:
    """Write the score that decided, where it is not the log-loss, and what its decision rule changes on the test set."""
    score = result.objective
    if score is None or score.name == "log_loss":
        return []
    name = OBJECTIVE_WORDS[score.name].score
    value = "undefined" if score.value is None else f"{score.value:.3f}"
    interval = f" (95 % interval {score.ci95[0]:.3f} to {score.ci95[1]:.3f}, n = {score.n})" if score.ci95 else ""
    note = f"; {score.note}" if score.note else ""
    lines = [f"Objective: {name} {value}{interval}{note}"]
    base = result.baseline_objective
    if base is not None and base.value is not None and not kept_default(result):
        lines.append(f"The untuned default reaches {base.value:.3f} on the same images.")
    return [*lines, *_decision(result)]


def _decision(result: Result) -> list[str]:
    effect = result.decision
    if effect is None:
        return []
    right = [sum(table[k][k] for k in range(len(table))) for table in (effect.without, effect.with_rule)]
    n = sum(map(sum, effect.without))
    if effect.threshold is None or len(effect.without) != 2:
        return [f"Decision rule, chosen on validation: {right[1]} of {n} right, {right[0]} by the most probable class."]
    first, second = result.dataset.classes
    before, after = ((table[0][1], table[1][0]) for table in (effect.without, effect.with_rule))
    return [
        f"Decision threshold, chosen on validation: {second} from a probability of {effect.threshold:.2f} on "
        f"(instead of 0.50): {first} taken for {second} {times(after[0])} instead of {before[0]}, "
        f"{second} taken for {first} {times(after[1])} instead of {before[1]}."
    ]
