"""What the coordinator asks of a worker about the data at the end of a run, and what it hears back; see `messages`."""

from __future__ import annotations

from dataclasses import dataclass, field

from advisor.records.data import Item
from advisor.records.insight import Attention, Forecast, UnlikeImages
from advisor.records.trials import Candidate


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


@dataclass(frozen=True, kw_only=True)
class MeasureLearningCurve:
    """Ask for accuracy against the number of training images: heads on the frozen features that `candidate` reads.

    It is given up where it is seen to take longer than `limit_s` (None: no limit).
    """

    candidate: Candidate
    seed: int
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class MeasureTrainedCurve:
    """Ask for accuracy against the number of training images: trainings of `candidate` on parts of these folds' images.

    Their whole was trained by the search: it left `predictions` (a file below the run directory) of the images that they
    hold out. `fitted` are numbers that it chose for the training's end. It is given up where it is seen to take longer than
    `limit_s` (None: no limit), and stands on the folds that ended.
    """

    candidate: Candidate
    seed: int
    folds: tuple[int, ...]
    predictions: str
    fitted: dict[str, float] = field(default_factory=dict)
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class LearningCurveMeasured:
    """The forecast, or why there is none."""

    forecast: Forecast | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class MapFeatures:
    """Ask for a map of the pool's images by the frozen features that `candidate` reads, in two dimensions.

    `rows` are positions in the pool, for each of which the most similar images with another label are listed.
    """

    candidate: Candidate
    seed: int
    rows: tuple[int, ...]
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class FeaturesMapped:
    """`points`: positions in the pool with x and y; `neighbours`: positions of similar images, one tuple per row asked for."""

    points: tuple[tuple[int, float, float], ...]
    neighbours: tuple[tuple[int, ...], ...]
    method: str  # "t-SNE" or "principal components"


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Ask where the model in `folder` looks: on `mistakes` for the class in `predicted`, and on images of each class.

    `typical` are images of the pool, the surest of each class first, by class number.
    """

    folder: str
    mistakes: tuple[Item, ...]
    predicted: tuple[int, ...]
    typical: tuple[tuple[Item, ...], ...]
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Small JPEG pictures with maps by path, and what was seen of each class; None where the model has no gradient."""

    pictures: dict[str, bytes]
    attention: Attention | None
    reason: str = ""  # why there is no `attention`


Insight = MeasureLearningCurve | MeasureTrainedCurve | MapFeatures | Explain | IndexTraining
InsightMeasured = LearningCurveMeasured | FeaturesMapped | Explained | TrainingIndexed
