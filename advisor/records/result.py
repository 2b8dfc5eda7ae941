"""The result of a run: the fields of `result.json` (schema 1). Fractions and seconds; fields are only ever added."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from advisor.records.data import JoinedImages, Relabelled
from advisor.records.forgetting import Forgetting
from advisor.records.insight import Attention, Forecast, SuspectLabels, UnlikeImages
from advisor.records.limits import LimitsReport
from advisor.records.objective import DecisionEffect, ObjectiveScore
from advisor.records.trials import ExperienceUse, Regime, RunStatus, StoppedBecause, Untried


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where it ran: library versions, CPU or GPU model, threads, precision, layout."""

    versions: dict[str, str]
    device: str
    model: str  # CPU or GPU model
    threads: int
    precision: str
    layout: str


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """The data set in a few numbers."""

    path: str
    fingerprint: str
    images: int
    classes: tuple[str, ...]
    splits: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Best:
    """The winner."""

    backbone: str
    strategy: str
    parameters: dict[str, Any]
    trial: int


@dataclass(frozen=True, kw_only=True)
class ValidationScore:
    """The winner's score on images that chose it: optimistic. `std` is over folds x seeds, None where there is one."""

    accuracy: float
    log_loss: float
    std: float | None
    n: int
    folds: int


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """One class on the locked test; precision is None where nothing was predicted as it."""

    recall: float | None
    precision: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class TestScore:
    """The score on the locked test, which no decision saw. `confusion[i][j]`: images of class i taken for class j."""

    accuracy: float
    ci95: tuple[float, float]
    n: int
    balanced_accuracy: float
    log_loss: float
    per_class: dict[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...] = ()

    __test__ = False  # pytest must not collect it


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The untuned default (trial 0), with the same fields as the winner."""

    best: Best
    validation: ValidationScore
    test: TestScore | None


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Winner minus default on the same test images, with a paired 95 % interval."""

    over_baseline: float
    ci95: tuple[float, float]
    within_noise: bool


@dataclass(frozen=True, kw_only=True)
class Tie:
    """A trial that the validation data cannot tell from the winner."""

    trial: int
    backbone: str
    strategy: str
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Test images of similar confidence: how many, their mean confidence, and the share that was right."""

    n: int
    confidence: float
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Expected calibration error on the locked test (15 equal-width bins), and the temperature fitted out of fold.

    `overconfidence` is mean confidence minus accuracy, with its 95 % interval; `ece_by_chance` is what a perfectly
    calibrated model would stay below in 95 of 100 test sets of this size.
    """

    ece: float | None
    temperature: float
    overconfidence: float | None = None
    ci95: tuple[float, float] | None = None
    ece_by_chance: float | None = None
    bins: tuple[CalibrationBin, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BudgetUse:
    """Seconds requested and used, and by how many the budget was exceeded; `asked_s` is None for a run by `--trials`.

    `predicted_s` is what such a run was predicted to take, after its probes.
    """

    asked_s: float | None
    used_s: float
    over_s: float = 0.0
    predicted_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrialCounts:
    """How many trials ended how."""

    complete: int
    pruned: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Backbones that did not compete for the same reason: the most useful one, and the command that includes it.

    `count` is their number, `bytes` the size of the named one's weights file, 0 where it is unknown.
    """

    backbone: str
    reason: str
    command: str
    count: int = 1
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class EnsembleValidation:
    """The ensemble on validation, beside the single model on the same `n` images; this is what chose it."""

    accuracy: float
    single_accuracy: float
    log_loss: float
    single_log_loss: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The mean of several leaders' probabilities, offered beside the single model on few images.

    `over_single` is its accuracy minus the single model's on the same test images, with a paired 95 % interval;
    `beats_single` holds where that interval lies above zero. All of the test is None where there was none.
    """

    members: tuple[Tie, ...]
    validation: EnsembleValidation
    test: TestScore | None
    ece: float | None
    over_single: float | None
    ci95: tuple[float, float] | None
    beats_single: bool | None
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test image that was misjudged, for the report: confidence in 0..1."""

    path: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A student beside the same network trained without its teacher, with the same settings and steps, on the same images.

    `teacher` is the run, `teacher_test` its accuracy on the locked test. `gain` is in accuracy, `log_loss_gain` the lower
    log-loss, both paired on the test; None without one.
    """

    teacher: str
    teacher_backbone: str
    teacher_size_px: int
    teacher_weights_sha256: str
    teacher_test: float | None
    unlabelled: int
    plain: Baseline
    gain: Gain | None
    log_loss_gain: Gain | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """The whole answer: `result.json`."""

    schema: int
    status: RunStatus
    dataset: DatasetSummary
    regime: Regime
    best: Best
    validation: ValidationScore
    test: TestScore | None
    test_reason: str | None
    baseline: Baseline | None
    gain: Gain | None
    ties: tuple[Tie, ...]
    optimism: float | None
    calibration: Calibration
    budget: BudgetUse
    trials: TrialCounts
    left_out: tuple[LeftOut, ...]
    ensemble: Ensemble | None
    target: dict[str, Any] | None
    forgetting: Forgetting | None
    warnings: tuple[str, ...]
    files: dict[str, str | None]
    environment: Environment
    mistakes: tuple[Mistake, ...] = field(default=())
    majority: float | None = None  # share of the largest class among the scored images (the test, if there is one)
    learned: bool | None = None  # whether the score beats always answering that class, beyond noise
    suspects: SuspectLabels | None = None
    relabelled: Relabelled | None = None  # labels that --relabel corrected
    joined: JoinedImages | None = None  # similar images that the splits keep together (without members)
    forecast: Forecast | None = None
    attention: Attention | None = None
    forecast_reason: str | None = None  # why there is none
    attention_reason: str | None = None  # why there is none
    unlike: UnlikeImages | None = None  # None where the model has no index of its training images
    stopped_because: StoppedBecause | None = None
    untried: tuple[Untried, ...] = ()
    experience: ExperienceUse | None = None  # finished runs that the search learned from
    objective: ObjectiveScore | None = None  # the score that decided, on the test set
    baseline_objective: ObjectiveScore | None = None  # of the untuned default, on the same images
    limits: LimitsReport | None = None  # --max-ms, --max-mb, and what the model and the others cost
    distillation: Distillation | None = None  # None where no teacher's answers were learned from
    decision: DecisionEffect | None = None  # None where the most probable class is the answer
