"""What a finished run says about its data: wrong labels, unfamiliar images, what more would bring. Parts of `result.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A label that looks wrong: out of fold, the models gave it `score` (a probability) and preferred `suggested`.

    `duplicate` is a near-duplicate with another label, "" where there is none; `neighbours` are the most similar images
    with another label, most similar first.
    """

    path: str
    label: str
    suggested: str
    score: float
    duplicate: str = ""
    neighbours: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SuspectLabels:
    """Labels that look wrong among `examined` images: `worth` of them are worth a look, about `precision` (0..1) of those
    are wrong. `first` are the most suspicious; `file` lists all examined images in this order. Before all others stand
    `conflicting` images, near-duplicates with different labels."""

    examined: int
    worth: int
    precision: float
    first: tuple[Suspect, ...]
    file: str
    conflicting: int = 0


HEADS = "heads"  # what a forecast was measured with, where the network was not trained for it


@dataclass(frozen=True, kw_only=True)
class AccuracyAt:
    """The accuracy (0..1) with `images` training images, and its 95 % interval."""

    images: int
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ClassGain:
    """A class whose recall rose by `gain` (0..1) from half to all of the images, beyond chance."""

    label: str
    gain: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Accuracy against the number of training images: `measured` on nested subsets of the pool (mean over `repeats`, each
    scored on `held_out` other images of the pool), and `expected` with all images, and with two and four times as many.

    `source` is "heads" where heads of the kind `head` were fitted on the frozen features of `backbone`; else the strategy
    by which the winner itself was trained on the subsets, and `head` is the kind of its head.
    """

    backbone: str
    head: str
    repeats: int
    held_out: int
    measured: tuple[AccuracyAt, ...]
    expected: tuple[AccuracyAt, ...]
    gains: tuple[ClassGain, ...]
    source: str = HEADS


@dataclass(frozen=True, kw_only=True)
class UnlikeImages:
    """How images unlike the training images are recognised: an index of `training` images in `file`, beside the model.

    `known` images set the scale, of the `scale` named: each training image without itself, or validation or test images
    where the network was trained on the others. `false_alarms` (0..1) of `held_out` other test images would be called
    unknown at `rate`, with a 95 % interval; None without such images. `smallest_rate` is the least that can be asked for.
    """

    file: str
    training: int
    known: int
    scale: Literal["training", "validation", "test"]
    smallest_rate: float
    rate: float
    false_alarms: float | None
    ci95: tuple[float, float] | None
    held_out: int


@dataclass(frozen=True, kw_only=True)
class ClassAttention:
    """Where the model looks on images of a class that it recognises: `pictures` are shown in the report.

    `transplanted` is the share (0..1) of `others` images of other classes that are taken for this class once the hottest
    sixteenth of one of `images` images is put into them; `shortcut` says that this small region decides the class.
    """

    label: str
    pictures: tuple[str, ...]
    transplanted: float
    images: int
    others: int
    shortcut: bool


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Where the model looks, class by class, for as many classes as there was time for."""

    classes: tuple[ClassAttention, ...]
