"""The hyper-parameters that all trained strategies share: their ranges, what is searched of them, what plan they give.

In: parameters by name and a `Context`. Out: complete parameters, draws for a search, a `TrainPlan`. No torch here.
Does NOT cover: which stages train when (each strategy's own file), heads on frozen features (`frozen`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor import schedules
from advisor.errors import PluginError
from advisor.hooks import (
    AUGMENTATION_LEVELS,
    Augmentation,
    Context,
    Head,
    OptimizerSpec,
    Parameter,
    Phase,
    ScheduleSpec,
    Space,
    TrainPlan,
)

OPTIMIZER = (
    Parameter(name="epochs", default=8.0, low=0.1, high=1000, meaning="passes over the training images"),
    Parameter(name="batch", default=32, low=1, high=4096, kind="int", meaning="images per step"),
    Parameter(
        name="optimizer",
        default="adamw",
        kind="choice",
        choices=("adamw", "adam", "sgd"),
        meaning="sgd uses Nesterov momentum",
    ),
    Parameter(
        name="adam_rate", default=3e-4, low=1e-7, high=1.0, meaning="peak rate of the last stage, adam and adamw"
    ),
    Parameter(name="sgd_rate", default=3e-3, low=1e-7, high=10.0, meaning="peak rate of the last stage, sgd"),
    Parameter(
        name="head_factor", default=1.0, low=0.01, high=1e4, meaning="ratio of the head's rate to the last stage's"
    ),
    Parameter(name="momentum", default=0.9, low=0.0, high=0.999, meaning="momentum of sgd, first beta of adam"),
    Parameter(name="weight_decay", default=1e-2, low=0.0, high=1.0, meaning="never on biases and norm layers"),
    Parameter(name="clip_norm", default=1.0, low=0.0, high=1e4, meaning="largest norm of the gradient, 0 for no limit"),
    Parameter(
        name="schedule",
        default="cosine",
        kind="choice",
        choices=schedules.SCHEDULES,
        meaning="learning-rate schedule",
    ),
    Parameter(name="warmup", default=0.1, low=0.0, high=0.9, meaning="share of the run in which rates rise"),
)
IMAGES = (
    Parameter(
        name="augmentation",
        default="light",
        kind="choice",
        choices=AUGMENTATION_LEVELS,
        meaning="light: random crops and flips; trivial: TrivialAugment on top",
    ),
    Parameter(name="crop_scale", default=0.35, low=0.01, high=1.0, meaning="smallest share of the area in a crop"),
    Parameter(name="mixup", default=0.0, low=0.0, high=10.0, meaning="Beta parameter of mixup, 0 for none"),
    Parameter(name="cutmix", default=0.0, low=0.0, high=10.0, meaning="Beta parameter of CutMix, 0 for none"),
    Parameter(
        name="fit",
        default="crop",
        kind="choice",
        choices=("crop", "squash", "pad"),
        meaning="how images are made square",
    ),
)
LOSS = (
    Parameter(name="label_smoothing", default=0.1, low=0.0, high=0.9, meaning="probability spread over all classes"),
    Parameter(
        name="class_weights",
        default="none",
        kind="choice",
        choices=("none", "balanced", "logit_adjust"),
        meaning="treatment of imbalanced classes",
    ),
    Parameter(
        name="norm",
        default="frozen",
        kind="choice",
        choices=("frozen", "trained"),
        meaning="statistics of BatchNorm in trained stages: kept, or those of the batch",
    ),
    Parameter(
        name="head_start",
        default="probe",
        kind="choice",
        choices=("probe", "zeros", "random"),
        meaning="initial head",
    ),
    Parameter(
        name="ema", default=0.0, low=0.0, high=0.99999, meaning="decay of a moving average of weights, 0 for none"
    ),
)
COMMON = (*OPTIMIZER, *IMAGES, *LOSS)
LAYER_DECAY = Parameter(
    name="layer_decay", default=0.9, low=0.01, high=1.0, meaning="ratio of a stage's rate to that of the next stage"
)
UNFREEZE = (
    Parameter(
        name="unfreeze",
        default="at_once",
        kind="choice",
        choices=("at_once", "gradual"),
        meaning="gradual: the head first, then stage by stage towards the stem",
    ),
    Parameter(name="unfreeze_share", default=0.4, low=0.0, high=1.0, meaning="share of the run until all stages train"),
)


def complete(stated: Mapping[str, Any], declared: Sequence[Parameter]) -> dict[str, Any]:
    """Fill in defaults, and leave out the rate of the optimizer that is not used.

    Raises PluginError where a name is not declared.
    """
    names = [p.name for p in declared]
    unknown = next((name for name in stated if name not in names), None)
    if unknown is not None:
        raise PluginError(f'parameter "{unknown}" is unknown here.', hint=f"There are {', '.join(names)}.")
    full = {p.name: stated.get(p.name, p.default) for p in declared}
    if "optimizer" in full:
        full.pop("adam_rate" if full["optimizer"] == "sgd" else "sgd_rate")
    return full


def changed(declared: Sequence[Parameter], **defaults: Any) -> tuple[Parameter, ...]:
    """Return the same parameters with other defaults."""
    from dataclasses import replace

    return tuple(replace(p, default=defaults.get(p.name, p.default)) for p in declared)


def rate(p: Mapping[str, Any]) -> float:
    """Return the peak rate of the last stage."""
    return float(p["sgd_rate"] if p["optimizer"] == "sgd" else p["adam_rate"])


def head_rate(p: Mapping[str, Any]) -> float:
    """Return the peak rate of the head."""
    return rate(p) * float(p["head_factor"])


def steps(p: Mapping[str, Any], context: Context) -> int:
    """Return the length of the run in optimizer steps."""
    return max(1, round(float(p["epochs"]) * context.steps_per_epoch))


def epochs_for(context: Context) -> float:
    """Choose a default number of epochs: many passes over few images, few over many.

    At least about 250 steps, since a handful of epochs of a tiny set are too few steps to learn anything.
    """
    usual = (
        10.0
        if context.images <= 2_000
        else 8.0
        if context.images <= 10_000
        else 5.0
        if context.images <= 50_000
        else 3.0
    )
    return min(30.0, max(usual, round(250 / context.steps_per_epoch)))


def trained_stages(context: Context) -> tuple[str, ...]:
    """List the stages that have parameters, from stem to head."""
    return tuple(stage.name for stage in context.stages if stage.parameters > 0)


def unfrozen(
    p: Mapping[str, Any], rates: Mapping[str, float], context: Context, *, only: str = "all"
) -> tuple[Phase, ...]:
    """Build the phases of "at_once" or "gradual" for stages with these peak rates."""
    if p.get("unfreeze", "at_once") == "at_once" or len(rates) < 1:
        return schedules.at_once(rates, head_rate(p), only=only)
    every = max(1, int(p["unfreeze_share"] * steps(p, context) / len(rates)))
    return schedules.gradual(rates, head_rate(p), first=every, every=every, warmup=every // 2, only=only)


def plan(p: Mapping[str, Any], context: Context, phases: tuple[Phase, ...], **more: Any) -> TrainPlan:
    """Turn the shared parameters and a strategy's phases into a plan; `more` are further fields of it."""
    length = steps(p, context)
    return TrainPlan(
        phases=tuple(phase for phase in phases if phase.start < length),
        head=Head(kind="linear", start=p["head_start"]),
        steps=length,
        batch=int(p["batch"]),
        optimizer=OptimizerSpec(
            name=p["optimizer"],
            momentum=float(p["momentum"]),
            weight_decay=float(p["weight_decay"]),
            clip_norm=float(p["clip_norm"]),
        ),
        schedule=ScheduleSpec(name=p["schedule"], warmup=float(p["warmup"])),
        augmentation=Augmentation(
            level=p["augmentation"],
            scale=float(p["crop_scale"]),
            mixup=float(p["mixup"]),
            cutmix=float(p["cutmix"]),
        ),
        label_smoothing=float(p["label_smoothing"]),
        norm=p["norm"],
        ema=float(p["ema"]),
        fit=p["fit"],
        class_weights=p["class_weights"],
        **more,
    )


def draw(
    trial: Space, context: Context, *, batch_norm: bool = True, weight_decay: bool = True, cross_entropy: bool = True
) -> dict[str, Any]:
    """Draw the shared parameters that a search varies; the ranges hold every published guess.

    What a strategy has no use for is not drawn: where it has its own `batch_norm`, `weight_decay` or `cross_entropy`.
    """
    drawn: dict[str, Any] = {"optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd"])}
    if drawn["optimizer"] == "sgd":
        drawn["sgd_rate"] = trial.suggest_float("sgd_rate", 3e-4, 3e-2, log=True)
    else:
        drawn["adam_rate"] = trial.suggest_float("adam_rate", 2e-5, 2e-3, log=True)
    drawn["head_factor"] = trial.suggest_float("head_factor", 0.3, 100.0, log=True)
    usual = epochs_for(context)
    drawn["epochs"] = trial.suggest_float("epochs", max(1.0, usual / 3), 2 * usual, log=True)
    drawn["schedule"] = trial.suggest_categorical("schedule", ["cosine", "onecycle", "step"])
    if weight_decay:
        drawn["weight_decay"] = trial.suggest_float("weight_decay", 1e-5, 0.1, log=True)
    if cross_entropy:
        drawn["label_smoothing"] = trial.suggest_float("label_smoothing", 0.0, 0.2)
    drawn["augmentation"] = trial.suggest_categorical("augmentation", ["flip", "light", "trivial"])
    if drawn["augmentation"] != "flip":
        drawn["crop_scale"] = trial.suggest_float("crop_scale", 0.2, 0.9)
    if batch_norm and context.has_norm:
        drawn["norm"] = trial.suggest_categorical("norm", ["frozen", "trained"])
    if cross_entropy and may_weigh_classes(context):
        drawn["class_weights"] = trial.suggest_categorical("class_weights", ["none", "balanced", "logit_adjust"])
    return drawn


def draw_unfreezing(trial: Space) -> dict[str, Any]:
    """Draw when stages begin to train."""
    drawn: dict[str, Any] = {"unfreeze": trial.suggest_categorical("unfreeze", ["at_once", "gradual"])}
    if drawn["unfreeze"] == "gradual":
        drawn["unfreeze_share"] = trial.suggest_float("unfreeze_share", 0.1, 0.7)
    return drawn


def may_weigh_classes(context: Context) -> bool:
    """Return True where weighting classes may raise the objective, unlike log-loss and accuracy."""
    return uneven(context) and context.objective not in ("log_loss", "accuracy")


def with_class_weights(
    guesses: Sequence[Mapping[str, Any]], context: Context, kind: str
) -> Sequence[Mapping[str, Any]]:
    """Repeat the first guess with class weights of this kind, where the objective counts every class the same.

    Source: logit adjustment maximises balanced accuracy, Menon et al. 2020 (2007.07314), section 5.
    """
    counts_equally = context.objective in ("balanced_accuracy", "macro_f1")
    if not (counts_equally and uneven(context) and "class_weights" in guesses[0]):
        return guesses
    return [guesses[0], {**guesses[0], "class_weights": kind}, *guesses[1:]]


def uneven(context: Context) -> bool:
    """Return True if the largest class has more than twice the images of the smallest."""
    counts = [c for c in context.class_counts if c > 0]
    return bool(counts) and max(counts) > 2 * min(counts)
