"""What a tracker is sent: settings, profile, trials and result -> plain names and values. Nothing else leaves the run.

No path leaves it, except those of files that are uploaded as artefacts. Does NOT cover: sending (`tracking.trackers`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.records import Profile, Result, Settings, TestScore, Trial
from advisor.reporting import wording

ARTEFACTS = ("recipe.yaml", "result.json", "report.html", "README.md", "model.safetensors", "model.json")
_OPTIONS = (
    *("budget_s", "trials", "seed", "device", "workers", "devices", "threads", "size_px", "backbones", "strategies"),
    *("regime", "objective", "offline", "test_split", "remove_leaks", "created_by"),
)


def options(settings: Settings) -> dict[str, Any]:
    """Return the options of a run as text and numbers; those that were not given are left out."""
    given = {name: getattr(settings, name) for name in _OPTIONS}
    given["objective"] = settings.objective.partition(":")[0]  # without the path of a file of costs
    values = {name: ", ".join(v) if isinstance(v, tuple) else v for name, v in given.items()}
    return {name: value for name, value in values.items() if value not in (None, "")}


def data(profile: Profile) -> dict[str, Any]:
    """Return the facts of a data set that identify it and describe its size."""
    counts = {split: sum(per_class.values()) for split, per_class in profile.counts.items()}
    return {
        "fingerprint": profile.fingerprint,
        "images": profile.images,
        "classes": len(profile.classes),
        "imbalance": round(profile.imbalance, 4),
        **{f"{split}_images": count for split, count in counts.items()},
    }


def parameters(trial: Trial) -> dict[str, Any]:
    """Return what a trial trained: backbone, strategy, input size and the parameters of the strategy."""
    candidate = trial.candidate
    fixed = {"backbone": candidate.backbone, "strategy": candidate.strategy, "size_px": candidate.size_px}
    return {**fixed, "regime": trial.regime, "origin": candidate.origin_kind, **plain(candidate.parameters)}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as numbers, truth values and text only."""
    return {name: v if isinstance(v, bool | int | float | str) else str(v) for name, v in values.items()}


def trial_scores(trial: Trial) -> dict[str, float]:
    """Return a trial's validation scores over all folds and its seconds, as far as they are finite."""
    return finite(
        {"accuracy": trial.accuracy, "log_loss": trial.log_loss, "loss": trial.loss, "seconds": trial.seconds}
    )


def curve(trial: Trial) -> list[tuple[int, dict[str, float]]]:
    """Return (step, values) for every evaluation of a trial's training."""
    series = {"train/loss": trial.curve.train_loss, "validation/log_loss": trial.curve.log_loss}
    series |= {"validation/accuracy": trial.curve.accuracy, "validation/objective": trial.curve.objective}
    points = []
    for index, step in enumerate(trial.curve.step):
        here = finite({name: values[index] for name, values in series.items() if index < len(values)})
        points.append((step, here))
    return points


def scores(result: Result) -> dict[str, float]:
    """Return the scores of a run with the limits of their 95 % intervals."""
    values: dict[str, float | None] = {
        "validation/accuracy": result.validation.accuracy,
        "validation/log_loss": result.validation.log_loss,
        "optimism": result.optimism,
        "calibration_error": result.calibration.ece,
        "seconds": result.budget.used_s,
    }
    values |= _test("test", result.test)
    if result.baseline is not None:
        values |= _test("default/test", result.baseline.test)
    if result.gain is not None:
        low, high = result.gain.ci95
        values |= {"gain": result.gain.over_baseline, "gain_low95": low, "gain_high95": high}
    if result.objective is not None:
        values["objective"] = result.objective.value
    return finite(values)


def _test(prefix: str, test: TestScore | None) -> dict[str, float | None]:
    if test is None:
        return {}
    low, high = test.ci95
    names = ("accuracy", "accuracy_low95", "accuracy_high95", "balanced_accuracy", "log_loss", "images")
    numbers = (test.accuracy, low, high, test.balanced_accuracy, test.log_loss, test.n)
    return {f"{prefix}/{name}": number for name, number in zip(names, numbers, strict=True)}


def verdict(result: Result) -> str:
    """Return the answer of a run in a few lines of Markdown."""
    lines = [
        f"**{wording.choice(result.best)}** ({wording.regime(result.regime.name)})",
        f"Test score: {wording.score(result.test, result.test_reason)}",
        f"Gain over the untuned default: {wording.gain(result)}",
        wording.reason(result),
        *(f"Warning: {warning}" for warning in result.warnings),
    ]
    return "\n\n".join(lines)


def artefacts(folder: Path) -> tuple[Path, ...]:
    """Return the files of a finished run that are stored with it."""
    return tuple(path for name in ARTEFACTS if (path := folder / name).is_file())


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return the values that are finite numbers."""
    return {name: float(v) for name, v in values.items() if v is not None and math.isfinite(v)}
