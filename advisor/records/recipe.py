"""The recipe: everything that a rerun needs, as frozen records that are also the fields of `recipe.yaml` (schema 1).

Text -> Recipe (strict: an unknown field, a wrong type, a value out of range is one line that begins with its path) and
Recipe -> text. What decides a rerun: data, backbone, input, strategy with its parameters, training, seed, compute and
the fitted numbers. `plan` is the strategy's plan written out for a reader; a rerun builds it again and stops where it
differs, so that there are no two truths. Does NOT cover: running it (`advisor/workflows/rerun.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from advisor.records import Compute, Environment, TrainPlan, ValidationScore
from advisor.records.data import JoinedImages, ReadOptions, Relabelled
from advisor.records.objective import DecisionRule, ObjectiveSpec
from advisor.records.trials import ExperienceUse

if TYPE_CHECKING:
    pass

SCHEMA = 1
Scalar = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """The package that a backbone or a strategy came from."""

    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the locked test came about. `list_sha256` is the hash of the split list, `rule` "given", "cut" or "none"."""

    rule: str
    fraction: float
    pool: int
    test: int
    list_sha256: str


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data set: what it is known by (fingerprint), where it was (`path_hint`), its class names in label order.

    `leaks_removed` holds where images that were also in the test were taken out of training.
    """

    name: str
    path_hint: str
    fingerprint: str
    images: int
    classes: tuple[str, ...]
    split: Split
    leaks_removed: bool = False
    pool_sample: int | None = None  # only so many pool images were used (a stratified sample, fixed by content)
    test_sample: int | None = None
    reading: ReadOptions | None = None  # what the layout left open; None in recipes that knew no such choice
    relabelled: Relabelled | None = None  # labels that were corrected after reading; a rerun needs the same corrections
    joined: JoinedImages | None = (
        None  # similar images that the splits keep together; a rerun joins these and no others
    )


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """The pretrained file that was loaded, with the true SHA-256 of its bytes, and its commit where it is from a hub."""

    file: str
    sha256: str
    revision: str = ""


@dataclass(frozen=True, kw_only=True)
class BackboneUse:
    """Which network, from which package, with which tensors (`weights` is null exactly where `from_scratch` holds)."""

    name: str
    plugin: Plugin
    weights: WeightsFile | None
    from_scratch: bool = False


@dataclass(frozen=True, kw_only=True)
class Input:
    """How pixels reach the network: made square by `fit`, resized, cut to `size_px`, /255, (x - mean) / std."""

    size_px: int
    resize_px: int
    interpolation: str
    fit: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    value_range: tuple[float, float] | None = None  # what samples of more than 8 bits were scaled from


@dataclass(frozen=True, kw_only=True)
class StrategyUse:
    """Which strategy, from which package, with which parameters."""

    name: str
    plugin: Plugin
    parameters: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long the refit trains: `steps` on this data set, `epochs` where the recipe is applied to another one.

    Where no time was left to train on all images, the model is that of this `fold`'s training part, or the mean of the
    weights of trainings on several folds' parts.
    """

    steps: int
    epochs: float
    batch: int
    fold: int | None = None
    mean_of_folds: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How validation was done: `folds` stratified folds drawn from the seed, of which those in `scored` were used.

    `procedure` is how numbers are chosen on held-out images, inside a fit too (`settings.PROCEDURE`); recipes that do not
    name it mean 1.
    """

    folds: int
    scored: tuple[int, ...]
    procedure: int = 1


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Numbers fitted out of fold before the refit: the softmax's temperature, and others by name (`alpha` …)."""

    temperature: float = 1.0
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TargetUse:
    """The unlabelled images that an adaptation learned from: known by their bytes; `seed` is the chosen training's.

    `statistics`: the network saw the source alone, and BatchNorm's running statistics are the target's.
    """

    path_hint: str
    fingerprint: str
    images: int
    statistics: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class UnlabelledUse:
    """The unlabelled images that a student learned from, known by their bytes."""

    path_hint: str
    fingerprint: str
    images: int


@dataclass(frozen=True, kw_only=True)
class TeacherUse:
    """The model that a student learned from, and its answers: `file` lies beside the recipe, so a rerun needs no teacher."""

    run_hint: str
    backbone: str
    weights_sha256: str
    file: str
    file_sha256: str
    unlabelled: UnlabelledUse | None = None


@dataclass(frozen=True, kw_only=True)
class TestOutcome:
    """The score on the locked test, with its 95 % interval; of an adaptation, on the labelled part of the target."""

    accuracy: float
    ci95: tuple[float, float]
    n: int
    balanced_accuracy: float
    log_loss: float

    __test__ = False  # pytest must not collect it


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out. `weights_sha256` is the hash of the refit model's tensors, `seconds` what the refit took."""

    validation: ValidationScore | None
    test: TestOutcome | None
    weights_sha256: str | None
    environment: Environment
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits that the run kept, and the model's milliseconds per image on `threads` threads and megabytes."""

    max_ms: float | None = None
    max_mb: float | None = None
    ms: float | None = None
    mb: float | None = None
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One run, written down. `status` is "provisional" (no test yet) or "final"."""

    schema: int
    status: str
    created_by: str
    data: Data
    backbone: BackboneUse
    input: Input
    strategy: StrategyUse
    training: Training
    seed: int
    compute: Compute
    validation: Validation = field(default_factory=lambda: Validation(folds=5, scored=(0,)))
    fitted: Fitted = field(default_factory=Fitted)
    plan: TrainPlan | None = None
    outcome: Outcome | None = None
    ensemble: dict[str, Any] | None = None
    target: TargetUse | None = None
    objective: ObjectiveSpec | None = None  # the score that decided, where it was not the log-loss
    decision: DecisionRule | None = None  # how probabilities become a class, where not by the largest
    limits: Limits | None = None  # of the run, and what the model costs; nothing here decides a rerun
    teacher: TeacherUse | None = None  # of a distilled student
    devices: int | None = None  # on which the training ran at the same time, where that was more than one
    experience: ExperienceUse | None = None  # finished runs that the search learned from; a rerun does not need them
