"""What is compared with what: data, sizes, lengths and arms of each question that `arms.py` answers.

An arm is a strategy's first guess at the suite's epochs, with some parameters changed; "head" is the classic feature
extractor, a linear layer trained by gradient on the frozen network. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A strategy by name, or "head", with the parameters that differ from its first guess."""

    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    guess: int = 0


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A question. `train`, `val`, `test` are images: None takes the given split, a number a stratified draw by seed."""

    data: str
    inside: str = ""
    size_px: int
    epochs: float
    batch: int = 32
    seeds: int
    train: int | None = None
    val: int = 0
    test: int | None = None
    backbone: str = "mobilenet_v2"
    arms: Mapping[str, Arm]


# What the usual notebook does: one rate for everything, batch statistics, a random head, no warm-up, no decay of weights.
# Its step schedule divides the rate by ten every seven epochs, so within five epochs the rate is constant.
_CLASSIC: dict[str, Any] = {
    "schedule": "constant",
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip_norm": 0.0,
    "label_smoothing": 0.0,
    "layer_decay": 1.0,
    "head_factor": 1.0,
    "head_start": "random",
    "norm": "trained",
    "augmentation": "flip",
}
CLASSIC = {
    "fine-tune, SGD 1e-3": Arm(strategy="full", parameters={**_CLASSIC, "optimizer": "sgd", "sgd_rate": 1e-3}),
    "fine-tune, Adam 1e-3": Arm(strategy="full", parameters={**_CLASSIC, "optimizer": "adam", "adam_rate": 1e-3}),
    "feature extractor, SGD 1e-3": Arm(strategy="head", parameters={"optimizer": "sgd", "rate": 1e-3}),
    "feature extractor, Adam 1e-3": Arm(strategy="head", parameters={"optimizer": "adam", "rate": 1e-3}),
}
# `wise_ft` trains exactly as `full` does, so that one training gives both rows.
# Pinned: the strategy's guesses changed their order while the rows were measured.
_LAST_STAGE = Arm(strategy="partial", parameters={"depth": 1})
_LAST_TWO = Arm(strategy="partial", parameters={"depth": 2})
_TRAINED = ("partial", "gradual", "lp_ft", "l2_sp", "wise_ft", "scratch")
FLOWERS = {"extraction, last stage": Arm(strategy="logistic", parameters={"layers": "last", "mirror": False})} | {
    "extraction, all stages": Arm(strategy="logistic", parameters={"layers": "all", "mirror": False}),
    **{name: Arm(strategy=name) for name in _TRAINED},
    "partial": _LAST_STAGE,
    "partial, 2 stages": _LAST_TWO,
}
EACH = {
    "extraction, all stages": Arm(strategy="logistic", parameters={"layers": "all", "mirror": False}),
    "wise_ft": Arm(strategy="wise_ft"),
    "gradual": Arm(strategy="gradual"),
    "discriminative": Arm(strategy="discriminative"),
    "lp_ft": Arm(strategy="lp_ft"),
    "l2_sp": Arm(strategy="l2_sp"),
    "ema": Arm(strategy="ema"),
    "partial": _LAST_STAGE,
    "partial, 2 stages": _LAST_TWO,
    "norm_only": Arm(strategy="norm_only"),
    "norm_only, batch statistics": Arm(strategy="norm_only", guess=1),
    "bias_only": Arm(strategy="bias_only"),
    "surgical, stem": Arm(strategy="surgical"),
    "surgical, middle": Arm(strategy="surgical", guess=1),
}

SUITES = {
    "classic-10000": Suite(
        data="cifar10", size_px=32, epochs=5, batch=100, seeds=5, train=10_000, test=None, arms=CLASSIC
    ),
    # As many images times pixels as five epochs at 32 px, spent on larger images with the advisor's gentle guesses.
    "advised-10000": Suite(
        data="cifar10",
        size_px=64,
        epochs=1.25,
        seeds=3,
        train=10_000,
        arms={
            "extraction, all stages, 64 px": Arm(strategy="ridge", parameters={"layers": "all", "mirror": False}),
            "full, 64 px": Arm(strategy="full"),
            "partial, 2 stages, 64 px": Arm(strategy="partial", parameters={"depth": 2}),
        },
    ),
    "classic-50000": Suite(data="cifar10", size_px=32, epochs=5, batch=100, seeds=1, arms=CLASSIC),
    "flowers": Suite(data="flowers102", size_px=64, epochs=10, seeds=5, test=3000, arms=FLOWERS),
    "each-flowers": Suite(
        data="five_flowers", size_px=64, epochs=8, seeds=5, train=1000, val=200, test=1500, arms=EACH
    ),
    "each-sketches": Suite(
        data="pacs", inside="sketch", size_px=64, epochs=8, seeds=5, train=680, val=200, test=1500, arms=EACH
    ),
}
