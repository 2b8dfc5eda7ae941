"""Numbers and results in the words that every page uses: the terminal, the report and the model card say the same.

Records -> short text; no layout, no markup. What it does not cover: tables (`advisor/cli/show.py`), HTML
(`advisor/report.py`), the card (`advisor/card.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from advisor.records import Best, Ensemble, Result, TestScore
from advisor.records.trials import REGIME_WORDS
from advisor.runtime import durations

NONE = "–"
MINUS = "−"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a fraction as a percentage, a dash where there is none."""
    return NONE if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"


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
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Write seconds as a person says them."""
    return NONE if seconds is None else durations.words(seconds)


def value(setting: Any) -> str:
    """Write one setting: numbers short, the rest as it is."""
    if isinstance(setting, bool) or setting is None:
        return {True: "yes", False: "no", None: NONE}[setting]
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def settings(parameters: Mapping[str, Any]) -> str:
    """Write parameters in one line."""
    return ", ".join(f"{name} {value(setting)}" for name, setting in parameters.items()) or "no parameters"


def regime(name: str) -> str:
    """Name a regime as a reader says it."""
    return REGIME_WORDS.get(name, name.replace("_", " "))


def trial(number: int) -> str:
    """Name a trial; probes on frozen features are counted below zero."""
    return f"trial {number}" if number >= 0 else f"probe {-number}"


def reason(result: Result) -> str:
    """Say why this regime, as whole sentences; the reason holds what the size of the data alone had said."""
    why = result.regime.reason.strip()
    return why if why.endswith((".", "!", "?")) or not why else f"{why}."


def choice(best: Best) -> str:
    """Name a network and what was done with it."""
    return f"{best.strategy} on {best.backbone}"


def score(test: TestScore | None, reason: str | None) -> str:
    """Say what the locked test gave, with its interval, or why there is no score."""
    if test is None:
        return f"No test score: {reason or 'the run is not finished'}."
    return f"{percent(test.accuracy)} of {number(test.n)} locked test images (95 % interval {span(test.ci95)})."


def kept_default(result: Result) -> bool:
    """Hold where the untuned default is what won."""
    return result.baseline is not None and result.baseline.best.trial == result.best.trial


def gain(result: Result) -> str:
    """Say what the search brought over the untuned default, and whether it is more than noise."""
    if kept_default(result):
        return "The untuned default is kept: nothing that was tried beats it beyond noise."
    if result.gain is None:
        return "The gain over the untuned default is not known yet."
    brought = f"{points(result.gain.over_baseline)} over the untuned default on the same test images"
    verdict = "within noise" if result.gain.within_noise else "more than noise"
    return f"{brought} (95 % interval {point_span(result.gain.ci95)}): {verdict}."


def optimism(result: Result) -> str:
    """Say how far the score that chose lay above the locked test; "" where one of them is missing."""
    if result.optimism is None:
        return ""
    return f"Validation {percent(result.validation.accuracy)}, test {points(-result.optimism)} from it."


def ensemble(result: Result, run: str) -> str:
    """Say in a line what the ensemble reached beside the single model, and how to use it; "" where there is none."""
    told = result.ensemble
    if told is None:
        return ""
    use = f"tl-advise predict {run} --ensemble PHOTOS, tl-advise export {run} --ensemble"
    return f"an ensemble of {len(told.members)} reaches {_reached(told)} ({use})"


def _reached(told: Ensemble) -> str:
    if told.test is None:
        score = told.validation
        return f"{percent(score.accuracy)} on validation, the single model {percent(score.single_accuracy)}"
    noise = "more than noise" if told.beats_single or (told.ci95 is not None and told.ci95[1] < 0) else "within noise"
    return (
        f"{percent(told.test.accuracy)} on the locked test (95 % interval {span(told.test.ci95)}), "
        f"{points(told.over_single)} against the single model: {noise}"
    )


def ensemble_facts(told: Ensemble | None) -> dict[str, str] | None:
    """List what a page says of the ensemble, label by label."""
    if told is None:
        return None
    score = told.validation
    return {
        "members": ", ".join(f"{trial(m.trial)} ({m.strategy} on {m.backbone})" for m in told.members),
        "validation log-loss": f"{score.log_loss:.3f}, the single model {score.single_log_loss:.3f} ({score.n} images)",
        "reaches": _reached(told),
        "calibration error": percent(told.ece),
        "use it": "tl-advise predict RUN --ensemble, tl-advise export RUN --ensemble --format onnx",
    }


def commands(result: Result, run: str) -> tuple[tuple[str, str], ...]:
    """List what to do next with a run directory, as (purpose, command)."""
    return (
        ("Classify new images", f"tl-advise predict {run} PHOTOS"),
        ("Redo it and compare", f"tl-advise rerun {run} --verify"),
        ("Use the model elsewhere", f"tl-advise export {run} --format torch"),
    )
