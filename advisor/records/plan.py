"""What a backbone is made of and what a strategy asks the core to do: plain data, so that a plan can be written down.

These are re-exported by `advisor.hooks`, the page that a plugin author reads. Rates are peak learning rates; a schedule
scales them by a factor in 0..1. Steps are optimizer steps, counted from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

AUGMENTATION_LEVELS = ("none", "flip", "light", "trivial")


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How pixels reach the network: short side to `resize`, a centre crop of `size`, /255, then (x - mean) / std.

    `value_range` is what samples of more than 8 bits are scaled from to 0..255; found on a data set, never a backbone's.
    """

    size: int
    resize: int
    interpolation: str = "bilinear"  # "nearest", "bilinear" or "bicubic", always antialiased
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A run of layers, from stem to head. A prefix p covers a name equal to p or starting with "p.", buffers too."""

    name: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of pretrained tensors: downloadable from `url`, or built in at `path` inside an installed package.

    `package` is the distribution that puts a file at `path`, where that is not the plugin's own.
    """

    file: str = ""
    url: str = ""
    sha256_prefix: str = ""
    bytes: int = 0
    licence: str = "unknown"
    path: str = ""
    package: str = ""


@dataclass(frozen=True, kw_only=True)
class StageSize:
    """What a strategy may know of a stage: its name, trainable parameters, and whether it holds norm layers.

    `linear` are the parameters that lie in matrices of linear layers and attention.
    """

    name: str
    parameters: int
    has_norm: bool
    linear: int = 0


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a strategy may look at when it applies, spans its space, guesses and plans. No torch in it.

    `probe` holds what frozen features reached ("accuracy", "log_loss", "ridge", "inverse_regularisation" …; empty
    before the first probe). `steps_per_epoch` is for `batch` images per step. `has_teacher`: another model's answers on the
    training images (and on the target's, where there is one) are available. `objective` is the score that decides; guesses and
    the search space may depend on it, a plan on its parameters alone.
    """

    images: int
    classes: int
    class_counts: tuple[int, ...]
    stages: tuple[StageSize, ...]
    has_norm: bool
    dim: int
    device: str = "cpu"
    has_target: bool = False
    has_teacher: bool = False
    objective: str = "log_loss"
    probe: Mapping[str, float] = field(default_factory=dict)
    batch: int = 32
    size_px: int = 224

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the training images (the last, short batch counts)."""
        return max(1, -(-self.images // self.batch))


@dataclass(frozen=True, kw_only=True)
class Phase:
    """From step `start` on: the stages named in `rates` train at these peak rates, all others stand still.

    A frozen stage runs wholly in eval mode. `only` narrows what trains inside the named stages: "all", "norm" (affine
    parameters of norm layers), "bias" (every bias), "adapter" (what the plan's adapter puts in). `warmup` is the number
    of steps over which groups that were frozen before rise linearly to their rate. With `restart` the schedule begins
    anew here (LP-FT: one run, two schedules).
    """

    start: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    head_rate: float = 0.0
    only: str = "all"
    warmup: int = 0
    restart: bool = False


@dataclass(frozen=True, kw_only=True)
class Head:
    """What maps pooled features to classes.

    `kind` is one of `advisor.heads.KINDS`: "linear" is trained by the loop, where there are phases; all others are fitted
    on cached features, in closed form or convexly. `layers` is "last", "all" (every stage's pooled
    features side by side) or the name of one stage. `mirror`: features are averaged over an image and its mirror image,
    at twice the cost of each prediction. `start` is how a trained head begins: "probe" (the fitted logistic
    head of the same features), "zeros" or "random". `numbers` are the head's own hyper-parameters (ridge: `strength`;
    logistic: `c`; knn: `k`, `temperature`).
    """

    kind: str = "linear"
    layers: str = "last"
    start: str = "probe"
    mirror: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Term:
    """An importable function "module:function" and the numbers that it is called with.

    `fitted` names numbers in 0..1 that a `finish` leaves to the core, which chooses them on validation images.
    """

    function: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    fitted: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """`name`: "sgd" (Nesterov when momentum > 0), "adam" or "adamw". Biases and norm parameters are never decayed."""

    name: str = "adamw"
    momentum: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # largest norm of the whole gradient, 0 for none


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec:
    """`name`: "constant", "cosine", "onecycle", "step" (x `gamma` every `every` share of the run) or "flat_decay".

    `warmup` and `every` are shares of all steps, 0..1; `floor` is the last factor.
    """

    name: str = "cosine"
    warmup: float = 0.1
    gamma: float = 0.1
    every: float = 0.34
    floor: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What a training image goes through. `level`: "none", "flip", "light" (random resized crop and flip) or "trivial"
    (TrivialAugment on top of light). `scale` is the smallest share of the area that a random crop keeps. `mixup` and
    `cutmix` are the Beta parameters, 0 for none."""

    level: str = "light"
    scale: float = 0.35
    mixup: float = 0.0
    cutmix: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Where training items come from. `name`: "labelled", "target" (labelled and unlabelled side by side) or "episodic"
    (`ways` classes, `shots` support and `queries` query images each, drawn from the seed and the step; the plan's `batch`
    is all of them). With episodes the terms alone train the features: the head learns from them and moves nothing else.
    """

    name: str = "labelled"
    ways: int = 0
    shots: int = 0
    queries: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """Everything that the one training loop needs to know. No phases: the head is fitted on frozen features and done.

    `steps` is the whole length. `norm`: what BatchNorm does inside trained stages, "trained" (batch statistics) or
    "frozen" (running statistics, eval mode). `ema` is the decay of an exponential moving average of the weights, 0 for
    none. `adapter` puts trainable modules into the stages that train, and takes them out at the end, merged into the
    weights. `finish` is applied to (start, tuned) weights at the end. `views`, where above 0, is how many different
    augmented views of an image there are (drawn again in turn), so that a frozen prefix can be computed once for each.
    """

    phases: tuple[Phase, ...] = ()
    head: Head = field(default_factory=Head)
    terms: tuple[Term, ...] = ()
    streams: tuple[Batches, ...] = (Batches(),)
    adapter: Term | None = None
    finish: Term | None = None
    steps: int = 0
    batch: int = 32
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_smoothing: float = 0.0
    norm: str = "frozen"
    ema: float = 0.0
    views: int = 0
    fit: str = "crop"  # how an image becomes square: "crop", "squash" or "pad"
    class_weights: str = "none"  # "none", "balanced", or "logit_adjust" (Menon et al. 2020, arXiv:2007.07314)
    from_scratch: bool = False


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How the arithmetic is done; part of every feature key and of the recipe, since results depend on it.

    `device` "cpu", "cuda:0" …; `precision` "float32" or "bfloat16" (autocast); `layout` "channels_last", "contiguous".
    Outside of training: `inference_batch` images pass at once, with BatchNorm folded into convolutions by
    `fold_batch_norm`. The defaults of both are those of recipes that do not name them.
    """

    device: str = "cpu"
    precision: str = "float32"
    layout: str = "channels_last"
    threads: int = 1
    inference_batch: int = 64
    fold_batch_norm: bool = False


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One hyper-parameter of a strategy: its range, its default, what it means. Recipes are checked against it.

    `kind` is "float", "int" or "choice"; `low` and `high` are inclusive and say what is legal, not what is searched.
    """

    name: str
    default: Any
    meaning: str
    kind: str = "float"
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a strategy is, when it pays, its hyper-parameters, the paper, and what we measured of it."""

    what: str
    when: str
    parameters: tuple[Parameter, ...] = ()
    paper: str = ""
    measured: str = ""
    only_when_named: bool = False  # runs only where a person asks for it (--strategy NAME): scratch, adaptation


@dataclass(frozen=True)
class ForwardSpec:
    """How squares of pixels pass a network: normalised by `preprocess`, cut to `size_px`, computed as `compute` states."""

    preprocess: Preprocess
    size_px: int
    compute: Compute
