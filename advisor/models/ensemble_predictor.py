"""An ensemble as one predictor: the mean of its members' calibrated probabilities, for `predict` and for exports.

In: a folder with `ensemble.json` and the members' files, `model-0.safetensors`, `model-0.json` and so on. Out: an
`EnsemblePredictor`, used like a single one. All members take the same squares of pixels, those of the first one, so that an
image is decoded once and an export is one graph. Does NOT cover: which models are members (`selection.ensemble`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.aliases import CountProgress, Float64s, Pixels
from advisor.data import pixels
from advisor.errors import InputError
from advisor.metrics.novelty import NoveltyIndex
from advisor.models import model_files, predictor
from advisor.models.predict import DECODED_TOGETHER, Predictions, SquareOutputs, classify
from advisor.models.predictor import Predictor
from advisor.records import Compute
from advisor.records.objective import DecisionRule

if TYPE_CHECKING:
    from advisor.registry import Registry


@dataclass(frozen=True)
class EnsemblePredictor:
    """Models with the same classes that take the same squares, weighted equally; `decision` is chosen for their mean."""

    members: tuple[Predictor, ...]
    decision: DecisionRule = DecisionRule()

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in label order."""
        return self.members[0].classes

    def __repr__(self) -> str:
        return f"Ensemble({self.description['backbone']} at {self.size_px} px, {len(self.classes)} classes)"

    @property
    def rule(self) -> pixels.PixelRule:
        """How an image becomes a square for every member."""
        return self.members[0].rule

    @property
    def size_px(self) -> int:
        """The side of the networks' input, in pixels."""
        return self.members[0].size_px

    @property
    def description(self) -> Mapping[str, Any]:
        """Return the backbones' names, and one hash over the members' weights."""
        each = [m.description for m in self.members]
        digest = hashlib.sha256("".join(d["weights_sha256"] for d in each).encode()).hexdigest()
        return {"backbone": " + ".join(d["backbone"] for d in each), "weights_sha256": digest}

    def probabilities(
        self, canvas: Pixels, *, compute: Compute | None = None, sizes: Sequence[int] | None = None
    ) -> Float64s:
        """Compute the mean of the members' calibrated probabilities (N, K)."""
        return mean([m.probabilities(canvas, compute=compute, sizes=sizes) for m in self.members])

    @property
    def index(self) -> NoveltyIndex | None:
        """The first member's index of training images: its features decide what is unlike them."""
        return self.members[0].index

    @property
    def feature_width(self) -> int:
        """The number of features by which images are compared: the first member's."""
        return self.members[0].feature_width

    def answers(
        self,
        canvas: Pixels,
        *,
        compute: Compute | None = None,
        sizes: Sequence[int] | None = None,
        with_features: bool = False,
    ) -> SquareOutputs:
        """Compute the mean probabilities of decoded squares; novelty and features are the first member's."""
        first = self.members[0].answers(canvas, compute=compute, sizes=sizes, with_features=with_features)
        others = [m.probabilities(canvas, compute=compute, sizes=sizes) for m in self.members[1:]]
        return replace(first, probabilities=mean([first.probabilities, *others]))

    def predict(
        self,
        images: Iterable[Any],
        *,
        abstain: float | None = None,
        batch_size: int = DECODED_TOGETHER,
        compute: Compute | None = None,
        progress: CountProgress | None = None,
        with_features: bool = False,
    ) -> Predictions:
        """Classify paths, PIL images or (H, W, 3) uint8 arrays, as a single predictor does."""
        return classify(
            self,
            images,
            abstain=abstain,
            batch_size=batch_size,
            compute=compute,
            progress=progress,
            with_features=with_features,
        )


def mean(probabilities: Sequence[Float64s]) -> Float64s:
    """Average probabilities (N, K) over models."""
    total: Float64s = np.mean(np.stack(probabilities), axis=0)
    return total


def run_of(model: str | PathLike[str]) -> Path:
    """Return the run directory of a model named by its folder or a file in it: an ensemble's folder lies in its run."""
    folder = Path(model) if Path(model).is_dir() else Path(model).parent
    return folder.parent if (folder / model_files.ENSEMBLE).is_file() else folder


def load(folder: Path, registry: Registry) -> EnsemblePredictor:
    """Read an ensemble. Raises InputError if there is none, or its members differ in classes or preprocessing."""
    names = model_files.read_ensemble(folder)
    members = tuple(predictor.load(folder, registry, name) for name in names)
    if not members or any((m.classes, m.rule) != (members[0].classes, members[0].rule) for m in members):
        raise InputError(
            f"{folder}: the ensemble's members differ in classes or preprocessing.",
            hint="Copy the whole folder from the run again.",
        )
    _share_bodies(members)
    return EnsemblePredictor(members, model_files.read_ensemble_decision(folder, len(members[0].classes)))


def _share_bodies(members: Sequence[Predictor]) -> None:
    """Share one copy of a frozen network between the heads on it, here and in an export."""
    by_hash: dict[str, Any] = {}
    for member in members:
        body = member.classifier.body
        member.classifier.body = by_hash.setdefault(predictor.weights_hash(body), body)
