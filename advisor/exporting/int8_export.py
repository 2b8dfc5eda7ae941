"""`export --int8`: the run's model quantised to 8 bits, kept only where the locked test shows that it is as good.

In: a run directory. Out: a folder like that of any ONNX export, with what quantisation changed in `model.json`. Half of the
training images that are read calibrate the ranges of activations, the other half choose among the settings (by the divergence
from the float model); the locked test images are used once, for the paired comparison that decides whether it is kept.
Does NOT cover: the quantisation (`quantisation`), the float export and its parity with `predict` (`run_export`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.aliases import Float64s, NamedProgress, Pixels
from advisor.errors import InputError, OutputError, QuantisationError
from advisor.exporting import latency, parity, quantisation, run_export, sidecar
from advisor.exporting.formats import onnx_graph
from advisor.exporting.formats import registry as formats
from advisor.exporting.parity import ComputeProbabilities, ListedImage, Parity
from advisor.exporting.run_export import Exported
from advisor.metrics import intervals, objectives
from advisor.metrics.decision_rule import decide
from advisor.models import predictor
from advisor.records.objective import ObjectiveSpec

if TYPE_CHECKING:
    from advisor.models.predictor import Predictor
    from advisor.registry import Registry

CALIBRATION, CHOOSING = 100, 100  # training images
SCORED = 2000  # locked test images at most
BATCH = 32
DEFAULT_LOSS = 0.01  # accuracy, 0..1: what is kept although the interval lies below zero
UNCERTAIN = (-1.0, 1.0)  # the interval of a change on so few images or groups that they show nothing
GOOD_ENOUGH = 2e-3  # divergence in nats from which on no further setting is tried, if no answer changed either


@dataclass(frozen=True, kw_only=True)
class Int8Report:
    """What quantisation changed: scores 0..1 on the same `n` images, megabytes, milliseconds (one image, one thread).

    `ci95` is (-1, 1) where the images are too few, or of too few groups, to say how sure the change is.

    `change` is accuracy after minus before with its paired 95 % interval, `changed` the share of images with another answer.
    `scored_on` is "test", or "train" where the run has no locked test. `divergences` is the mean KL divergence from the
    float model, in nats, of every setting that was tried, on training images that calibrated none.
    """

    setting: str
    divergences: dict[str, float]
    calibration_images: int
    scored_on: str
    n: int
    accuracy_before: float
    accuracy_after: float
    change: float
    ci95: tuple[float, float]
    changed: float
    objective: str
    objective_before: float | None
    objective_after: float | None
    mb_before: float
    mb_after: float
    ms_before: float
    ms_after: float
    tolerated: float | None

    @property
    def holds(self) -> bool:
        """Return True if the loss is within what is tolerated; by default, within noise or below one point."""
        if self.tolerated is not None:
            return -self.change <= self.tolerated + 1e-12
        within_noise = self.ci95[1] >= 0.0 and self.ci95 != UNCERTAIN  # which is no evidence that nothing is lost
        return within_noise or -self.change < DEFAULT_LOSS

    @property
    def accepted_by(self) -> float:
        """Return the points to tolerate for this loss, with one decimal, rounded upwards."""
        return math.ceil(1000 * -self.change - 1e-9) / 10

    @property
    def sentence(self) -> str:
        """Return the comparison in words."""
        where = "locked test images" if self.scored_on == "test" else "training images (the run has no test set)"
        interval = f"95 % interval {100 * self.ci95[0]:+.1f} to {100 * self.ci95[1]:+.1f}"
        sure = "too few of them, or of too few groups, to say how sure that is" if self.ci95 == UNCERTAIN else interval
        return (
            f"accuracy {100 * self.accuracy_before:.1f} % -> {100 * self.accuracy_after:.1f} % on {self.n:,} {where} "
            f"({100 * self.change:+.1f} points, {sure}), "
            f"{100 * self.changed:.1f} % of the answers change"
        )


def export(
    run: Path,
    *,
    registry: Registry,
    to: Path | None = None,
    data: Path | None = None,
    tolerate: float | None = None,
    progress: NamedProgress | None = None,
) -> Exported:
    """Export a run's model in 8 bits as ONNX; `tolerate` is the loss of accuracy that is accepted, 0..1.

    `to` is the new folder (default: RUN/export-onnx-int8). Raises InputError for a missing extra or missing images,
    OutputError where the folder exists or cannot be written, QuantisationError where the loss is beyond what is tolerated.
    """
    formats.find(onnx_graph.NAME)
    run = run.parent if run.is_file() else run
    target = to or run / "export-onnx-int8"
    if os.path.lexists(target):
        raise OutputError(f"{target} exists already.", hint="Choose another --out, or move it away.")
    report = progress or (lambda what, done, total: None)
    model = predictor.load(run, registry)
    training, scored = _images(run, data)
    compared = parity.run_images(run, data)
    with run_export.staged(target) as folder:
        report("writing the float32 graph", 0, 1)
        source = folder / "float32.onnx"
        description = sidecar.describe(model, onnx_graph.NAME, onnx_graph.FILE)
        source.write_bytes(onnx_graph.serialized(model, description))
        before = onnx_graph.session(source)
        agreed = parity.require(
            model, parity.probabilities_only(before), compared, form=onnx_graph.NAME, progress=report
        )
        decided, divergences = _quantise(model, before, source, folder / onnx_graph.FILE, training, report)
        made = _score(model, run, before, folder, scored, report)
        made = replace(made, setting=decided, divergences=divergences, tolerated=tolerate)
        made = replace(made, calibration_images=min(CALIBRATION, len(training) - len(training) // 2))
        if not made.holds:
            raise _refused(made, agreed)
        source.unlink()
        sidecar.write(folder, {**description, "int8": asdict(made)})
        # An INT8 graph has no output of features that an index could be compared with.
        (folder / "example.py").write_text(onnx_graph.example(replace(model, index=None)), encoding="utf-8")
        run_export.write_card(run, folder)
        done = run_export.exported(target, folder, onnx_graph.NAME, agreed)
    return replace(done, int8=made)


def _refused(made: Int8Report, agreed: Parity) -> QuantisationError:
    limit = f"{100 * made.tolerated:g} points" if made.tolerated is not None else "one point, and more than noise"
    return QuantisationError(
        f"INT8 loses more than {limit}: {made.sentence}; {made.mb_before:.1f} -> {made.mb_after:.1f} MB, "
        f"{made.ms_before:.1f} -> {made.ms_after:.1f} ms.",
        hint=f"Nothing was kept. `--tolerate {made.accepted_by:.1f}` would accept it.",
        measured=Exported(path="", format=onnx_graph.NAME, files=(), bytes=0, parity=agreed, int8=made),
    )


def _images(run: Path, data: Path | None) -> tuple[list[ListedImage], list[ListedImage]]:
    """Return training images (for calibration and choice) and those that are scored. Raises InputError without any."""
    listed = parity.listed(run, data)
    training = parity.spread([i for i in listed if i.split != "test"], CALIBRATION + CHOOSING)
    test = [i for i in listed if i.split == "test"]
    if len(training) < 2:
        raise InputError(
            "INT8 is calibrated on training images, and those of the run are not there.",
            hint="Say where they are with --data DIR.",
        )
    chosen = {i.path for i in training}
    rest = test or [i for i in listed if i.path not in chosen] or training
    return training, parity.spread(rest, SCORED)


def _quantise(
    model: Predictor,
    before: ComputeProbabilities,
    source: Path,
    target: Path,
    training: Sequence[ListedImage],
    report: NamedProgress,
) -> tuple[str, dict[str, float]]:
    """Write the INT8 graph of the setting that diverges least; return its name and every setting's divergence."""
    squares, _ = parity.squares(model, [image.path for image in training])
    calibration, choosing = squares[0::2][:CALIBRATION], squares[1::2]
    expected_nK = answers(before, choosing)
    prepared, attempt = target.with_name("prepared.onnx"), target.with_name("attempt.onnx")
    quantisation.prepare(source, prepared)
    divergences: dict[str, float] = {}
    for number, setting in enumerate(quantisation.SETTINGS):
        report(f"quantising: {setting.name}", number, len(quantisation.SETTINGS))
        quantisation.quantise(prepared, attempt, setting, calibration)
        actual_nK = answers(onnx_graph.session(attempt), choosing)
        divergences[setting.name] = divergence(expected_nK, actual_nK)
        if divergences[setting.name] <= min(divergences.values()):
            os.replace(attempt, target)
        if divergences[setting.name] < GOOD_ENOUGH and (expected_nK.argmax(1) == actual_nK.argmax(1)).all():
            break
    prepared.unlink()
    attempt.unlink(missing_ok=True)
    return min(divergences, key=lambda name: divergences[name]), divergences


def _score(
    model: Predictor,
    run: Path,
    before: ComputeProbabilities,
    folder: Path,
    images: Sequence[ListedImage],
    report: NamedProgress,
) -> Int8Report:
    """Compare both graphs on the same labelled images."""
    report(f"scoring both on {len(images):,} images", 0, 1)
    squares, readable = parity.squares(model, [image.path for image in images])
    used = [image for image in images if image.path in set(readable)]
    labels = np.array([model.classes.index(image.label) for image in used])
    groups = np.array([image.group for image in used])
    source, after = folder / "float32.onnx", onnx_graph.session(folder / onnx_graph.FILE)
    float_nK, int8_nK = answers(before, squares), answers(after, squares)
    answered = [decide(p, model.decision) for p in (float_nK, int8_nK)]
    right = [(each == labels).astype(np.float64) for each in answered]
    enough = intervals.enough_groups(groups)
    interval = intervals.paired_bootstrap(right[1], right[0], groups=groups) if enough else UNCERTAIN
    spec = _objective(run)
    scores = [objectives.value(objectives.make(spec), p, labels, model.decision) for p in (float_nK, int8_nK)]
    costs = [latency.of_model(path, squares[:8]) for path in (source, folder / onnx_graph.FILE)]
    return Int8Report(
        setting="",
        divergences={},
        calibration_images=0,
        scored_on="test" if used and used[0].split == "test" else "train",
        n=len(used),
        accuracy_before=float(right[0].mean()),
        accuracy_after=float(right[1].mean()),
        change=float((right[1] - right[0]).mean()),
        ci95=interval,
        changed=float((answered[0] != answered[1]).mean()),
        objective=spec.name,
        objective_before=scores[0],
        objective_after=scores[1],
        mb_before=costs[0].mb or 0.0,
        mb_after=costs[1].mb or 0.0,
        ms_before=costs[0].ms or 0.0,
        ms_after=costs[1].ms or 0.0,
        tolerated=None,
    )


def _objective(run: Path) -> ObjectiveSpec:
    from advisor.records import recipe_file

    return recipe_file.read(run).objective or ObjectiveSpec()


def answers(compute: ComputeProbabilities, squares: Pixels) -> Float64s:
    """Return the probabilities (N, K) of squares, computed in batches."""
    parts: list[Any] = [compute(squares[start : start + BATCH]) for start in range(0, len(squares), BATCH)]
    return np.concatenate(parts)


def divergence(expected_nK: Float64s, actual_nK: Float64s) -> float:
    """Return the mean Kullback-Leibler divergence of the actual probabilities from the expected ones, in nats."""
    floor = 1e-9
    ratio_nK = np.log(np.maximum(expected_nK, floor)) - np.log(np.maximum(actual_nK, floor))
    return float((expected_nK * ratio_nK).sum(axis=1).mean())
