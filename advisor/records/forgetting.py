"""How much a tuned network has kept of the task that it was pretrained on: plain values of `result.json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageKept:
    """What a stage has kept: |w - w0| / |w0| of its parameters (None without any), and the CKA of its features."""

    distance: float | None
    cka: float | None


@dataclass(frozen=True, kw_only=True)
class SourceKept:
    """Accuracy of the original source head on the same labelled source images, before and after; never of two tasks."""

    images: int
    size_px: int
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Weights between start (share 0) and tuned (1): accuracy on the new task's held-out images, and on the source."""

    share: float
    accuracy: float | None
    source: float | None


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """How much of the source the tuned network has kept, measured on `images` images of the new task.

    `held_out` says that the network (then the first fold's) was not trained on them. `cka` and `neighbours` are of the
    last stage's features, 1 where nothing changed; by chance `neighbours` would be `chance`. `blends` is WiSE's curve.
    """

    images: int
    held_out: bool
    cka: float | None
    neighbours: float
    chance: float
    stages: dict[str, StageKept]
    source: SourceKept | None
    source_reason: str | None
    blends: tuple[Blend, ...]
