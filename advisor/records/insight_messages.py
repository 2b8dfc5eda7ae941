"""What a worker is asked about a finished model, beside `messages`: the index of its training images."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.records.insight import UnlikeImages


@dataclass(frozen=True, kw_only=True)
class IndexTraining:
    """Build the index that tells images unlike the training images, and write it beside the model in `folder`.

    `folds`: on whose training parts the model was trained, () for all images. A network that was trained needs images that
    it has not seen: those that `fold_folder`, a model of fold `fold`, was scored on, else the test images whose features
    stand in `test_features` (the file that `Score` wrote, "" if there is none). `passes` bounds the images that go through
    a network, None for no bound.
    """

    folder: str
    seed: int
    folds: tuple[int, ...] = ()
    fold_folder: str = ""
    fold: int = 0
    test_features: str = ""
    passes: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingIndexed:
    """The index that was written, None if there is none, and why."""

    unlike: UnlikeImages | None
    reason: str = ""
