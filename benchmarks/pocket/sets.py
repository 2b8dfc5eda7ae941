"""The data sets of the table: where their images lie, how they are split, and which the pocket backbone has seen.

In: the folder of unpacked shared data. Out: `Task`s, each with one file list and the index pairs (train, test) of its
splits; drawn splits are not stratified and repeat from their seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of the table. SqueezeNet sees its native 224 px but for CIFAR's 60,000; MobileNetV2 the stored size."""

    name: str
    title: str
    folders: tuple[str, ...]
    pairs: Callable[[list[Path]], list[Pair]]
    seen: str
    squeezenet_px: int = 224
    mobilenet_px: int = 224

    def files(self, data: Path) -> list[Path]:
        """List the images in sorted order, folder by folder."""
        paths = [path for folder in self.folders for path in sorted((data / folder).glob("*/*.jpg"))]
        if not paths:
            raise FileNotFoundError(f"no images of {self.name} under {data}: unpack the shared data there")
        return paths


def labels(files: list[Path]) -> np.ndarray:
    """Number the classes by the names of the folders that the files lie in."""
    return np.unique([path.parent.name for path in files], return_inverse=True)[1]


def given(train: str, test: str) -> Callable[[list[Path]], list[Pair]]:
    """Split by the folders that the data set came in."""

    def pairs(files: list[Path]) -> list[Pair]:
        part = np.array([path.parent.parent.name for path in files])
        return [(np.flatnonzero(part == train), np.flatnonzero(part == test))]

    return pairs


def drawn(train: int, test: int, seeds: int = 5) -> Callable[[list[Path]], list[Pair]]:
    """Draw `train` and `test` images anew with each seed."""

    def pairs(files: list[Path]) -> list[Pair]:
        orders = [np.random.default_rng(seed).permutation(len(files)) for seed in range(seeds)]
        return [(order[:train], order[train : train + test]) for order in orders]

    return pairs


def drawn_train(train: int, seeds: int = 5) -> Callable[[list[Path]], list[Pair]]:
    """Draw `train` images of the given training folder with each seed; test on the whole given test folder."""

    def pairs(files: list[Path]) -> list[Pair]:
        ((pool, test),) = given("train", "test")(files)
        return [(np.random.default_rng(seed).permutation(pool)[:train], test) for seed in range(seeds)]

    return pairs


TASKS = (
    Task(
        name="hymenoptera",
        title="hymenoptera (245 -> 153)",
        folders=("hymenoptera/train", "hymenoptera/val"),
        pairs=given("train", "val"),
        seen="no: held out",
    ),
    Task(
        name="sketch",
        title="PACS sketches (680 -> 1,500)",
        folders=("pacs/sketch",),
        pairs=drawn(680, 1500),
        seen="no: held out",
        mobilenet_px=128,
    ),
    Task(
        name="flowers102",
        title="Flowers-102 (1,020 -> 6,149)",
        folders=("flowers102/train", "flowers102/test"),
        pairs=given("train", "test"),
        seen="training images, without labels",
        mobilenet_px=96,
    ),
    Task(
        name="five_flowers",
        title="five flowers (1,000 -> 1,500)",
        folders=("five_flowers",),
        pairs=drawn(1000, 1500),
        seen="all images, test ones too, without labels",
        mobilenet_px=128,
    ),
    Task(
        name="cifar10_1000",
        title="CIFAR-10 (1,000 -> 10,000)",
        folders=("cifar10/train", "cifar10/test"),
        pairs=drawn_train(1000),
        seen="training images, without labels",
        squeezenet_px=96,
        mobilenet_px=96,
    ),
    Task(
        name="cifar10_50000",
        title="CIFAR-10 (50,000 -> 10,000)",
        folders=("cifar10/train", "cifar10/test"),
        pairs=given("train", "test"),
        seen="training images, without labels",
        squeezenet_px=96,
        mobilenet_px=96,
    ),
)
