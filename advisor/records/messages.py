"""What the coordinator asks of a worker process and what it hears back: the only things that cross the pipe.

The worker gets the pool's items when a data set is opened; test items come with `Score` alone, after the candidates
were frozen (docs/design.md 4.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from advisor.records.data import Item, Unreadable
from advisor.records.forgetting import Forgetting
from advisor.records.insight_messages import Insight, InsightMeasured
from advisor.records.limits import GraphCost
from advisor.records.objective import ObjectiveSpec
from advisor.records.plan import Compute, Preprocess, StageSize, TrainPlan
from advisor.records.result import Environment, Mistake, TestScore
from advisor.records.settings import PROCEDURE
from advisor.records.trials import Candidate, RunStatus, Trial


@dataclass(frozen=True, kw_only=True)
class OpenDataset:
    """Open a data set for training: pool items only. `folds` is the number of validation folds."""

    root: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    folds: int
    seed: int
    device: str
    run_dir: str
    weights_dir: str | None = None
    offline: bool = False
    workers: int = 1
    devices: int = 1  # on which one training runs at the same time
    plugins_blocked: tuple[str, ...] = ()
    has_groups: bool = False
    holds_out_val: bool = False  # the given validation set validates, and never trains during the search
    value_range: tuple[float, float] | None = None  # of samples with more than 8 bits
    max_pixels: int | None = None
    threads: int | None = None
    arithmetic: Compute | None = None  # of a recipe; None for what suits each backbone on this machine
    procedure: int = PROCEDURE  # how numbers are chosen on held-out images
    revisions: tuple[tuple[str, str], ...] = ()  # (backbone, commit of its repository) of a recipe
    target_root: str = ""
    target_items: tuple[Item, ...] = ()  # an unlabelled target domain; their labels are always 0
    objective: ObjectiveSpec = field(default_factory=ObjectiveSpec)  # the score that trials are ranked by
    answers: str = ""  # a file of a teacher's answers on the items and the target's items (`training.soft_answers`)


@dataclass(frozen=True, kw_only=True)
class DatasetOpened:
    """The data set is open; `environment` is where trials will run."""

    environment: Environment
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Describe:
    """Ask for the shape of a backbone."""

    backbone: str


@dataclass(frozen=True, kw_only=True)
class Description:
    """The shape of a backbone, from its modules on no device: cheap, exact."""

    backbone: str
    stages: tuple[StageSize, ...]
    dim: int
    has_norm: bool
    preprocess: Preprocess
    weights_sha256: str = ""
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Fit several heads on one backbone's frozen features, out of fold, in one pass over the images.

    `timed` asks for the speed of the pass even where the features were read from the cache. `limit_s`: seconds that the pass
    may take, None for no limit.
    """

    backbone: str
    candidates: tuple[Candidate, ...]
    first_number: int
    seed: int
    timed: bool = False
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The probes' trials; `images_per_s` is the speed of the pass, 0 where it was not timed.

    `decode_s` are the seconds of decoding one image for it, 0 where another probe of this process timed that.
    """

    trials: tuple[Trial, ...]
    images_per_s: float
    decode_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunTrial:
    """Train and score a candidate on these folds. `limit_s`: seconds it may take, None for no limit.

    `stop_above` maps a rung (share of the steps, in percent) to the validation loss (`Curve.losses`: the
    objective's, by default the log-loss) above which the trial stops there, in the first of its folds alone. `fitted` are
    numbers of the plan's finish that were chosen before; without them the first fold chooses them for all.
    """

    number: int
    candidate: Candidate
    folds: tuple[int, ...]
    repeat: int
    seed: int
    started_s: float
    limit_s: float | None = None
    stop_above: dict[int, float] = field(default_factory=dict)
    fitted: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TimeSteps:
    """Ask how long a step of a candidate's training takes: `steps` are counted, behind `warm` that are not."""

    candidate: Candidate
    seed: int
    warm: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """The seconds of one step; 0 where it says nothing about the others."""

    step_s: float


@dataclass(frozen=True, kw_only=True)
class Refit:
    """Train a candidate on the whole pool and write the model to the folder `to`, with these numbers fitted before.

    `folds`: train on the training part of this fold instead, or on those of several, each by itself from the same start,
    and write the mean of their weights.

    `limit_s`: seconds it may take, None for no limit; it is given up as soon as it is seen to take longer.
    """

    candidate: Candidate
    seed: int
    to: str
    temperature: float
    fitted: dict[str, float] = field(default_factory=dict)
    status: RunStatus = "final"
    folds: tuple[int, ...] = ()
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Refitted:
    """A model is on disk. `plan` is the plan that was carried out, written out."""

    weights_sha256: str
    steps: int
    epochs: float
    seconds: float
    pretrained_sha256: str
    plan: TrainPlan
    compute: Compute
    resize_px: int
    warning: str = ""
    folds: tuple[int, ...] = ()  # on whose training parts it was trained (of several: the mean), () for the whole pool


@dataclass(frozen=True, kw_only=True)
class Score:
    """Open the locked test: score the models in these folders on these items, in float32.

    `ensemble` is the folder of models whose probabilities are averaged, and scored as one more; its first is the first of
    `folders`. With `limit_s` the items at the positions `first` are scored first, and the others only if they are predicted
    to end within it; where only the single models are, the ensemble is not scored.
    """

    folders: tuple[str, ...]
    ensemble: str | None = None
    items: tuple[Item, ...]
    first: tuple[int, ...] = ()
    limit_s: float | None = None
    predictions: str  # where the logits of all models go (npz), and the first model's features of some images


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One score a model, in the order of the folders; mistakes of the first; calibration errors.

    `first_only`: only the items at `Score.first` were scored.
    """

    scores: tuple[TestScore, ...]
    ece: tuple[float, ...]
    mistakes: tuple[Mistake, ...]
    ensemble: TestScore | None = None
    ensemble_ece: float | None = None
    unreadable: tuple[Unreadable, ...] = ()
    first_only: bool = False


@dataclass(frozen=True, kw_only=True)
class MeasureForgetting:
    """Ask how much of its source a tuned model has kept: the one in `folder`, trained on `fold`'s part or on the pool.

    `images` of the new task are looked at, at weights of each of `shares` (0 the start, 1 the model). Source items have
    the source head's class numbers as labels; where there are none, `source_reason` says why.
    """

    candidate: Candidate
    folder: str
    fold: int | None
    seed: int
    images: int
    shares: tuple[float, ...]
    source_root: str = ""
    source_items: tuple[Item, ...] = ()
    source_classes: int = 0
    source_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ForgettingMeasured:
    """What was kept."""

    forgetting: Forgetting


@dataclass(frozen=True, kw_only=True)
class MeasureGraph:
    """Ask what an exported graph costs: of a backbone with random weights at an input size, or of the model in `folder`."""

    backbone: str = ""
    size_px: int = 0
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class GraphMeasured:
    """The measured cost."""

    cost: GraphCost


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is: `done` of `total` steps of `what`; loss and accuracy where they are known.

    A trial trains once per fold: this is fold `fold` of `folds` (counted from 1), and `epochs` is the length of one.
    """

    what: str
    done: int
    total: int
    loss: float | None = None
    accuracy: float | None = None
    fold: int = 1
    folds: int = 1
    epochs: float = 0.0


OnProgress = Callable[[Progress], None]

Job = OpenDataset | Describe | Probe | RunTrial | TimeSteps | Refit | Score | MeasureForgetting | Insight | MeasureGraph
Answer = (
    DatasetOpened
    | Description
    | Probed
    | Trial
    | StepTime
    | Refitted
    | Scored
    | ForgettingMeasured
    | InsightMeasured
    | GraphMeasured
)
