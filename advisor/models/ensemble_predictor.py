"""Several models that answer as one: the mean of their calibrated probabilities, for `predict` and for exports.

In: a folder with `ensemble.json` and the members' files, `model-0.safetensors`, `model-0.json` and so on. Out: an
`Averaged`, used like a single predictor. The members see the same squares of pixels (size and resize rule are one), so
that an image is decoded once and an export is one graph. Does NOT cover: who is in it (`ensemble`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advisor.aliases import CountProgress
from advisor.data import pixels
from advisor.errors import InputError
from advisor.models import model_files, predictor
from advisor.models.predict import Predictions, classify
from advisor.models.predictor import Predictor
from advisor.records import Compute

if TYPE_CHECKING:
    from advisor.registry import Registry


@dataclass(frozen=True)
class Averaged:
    """Models with the same classes and the same pixels; each counts as much as any other."""

    members: tuple[Predictor, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in label order."""
        return self.members[0].classes

    @property
    def rule(self) -> pixels.PixelRule:
        """How a file becomes a square for every member."""
        return self.members[0].rule

    @property
    def size_px(self) -> int:
        """The side of the squares that the networks see."""
        return self.members[0].size_px

    @property
    def description(self) -> Mapping[str, Any]:
        """Say what it is made of: the networks' names, and one hash over the members' weights."""
        each = [m.description for m in self.members]
        digest = hashlib.sha256("".join(d["weights_sha256"] for d in each).encode()).hexdigest()
        return {"backbone": " + ".join(d["backbone"] for d in each), "weights_sha256": digest}

    def probabilities(self, canvas: NDArray[np.uint8], *, compute: Compute | None = None) -> NDArray[np.float64]:
        """Give the mean of the members' calibrated probabilities (N, K)."""
        return mean([m.probabilities(canvas, compute=compute) for m in self.members])

    def predict(
        self,
        images: Iterable[Any],
        *,
        compute: Compute | None = None,
        progress: CountProgress | None = None,
    ) -> Predictions:
        """Classify paths, PIL images or (H, W, 3) uint8 arrays, as a single predictor does."""
        return classify(
            images,
            self.rule,
            self.classes,
            lambda squares: self.probabilities(squares, compute=compute),
            progress=progress,
        )


def mean(probabilities: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Average probabilities (N, K) over models."""
    total: NDArray[np.float64] = np.mean(np.stack(probabilities), axis=0)
    return total


def load(folder: Path, registry: Registry) -> Averaged:
    """Read an ensemble. Raises InputError where there is none, or its members do not belong together."""
    names = model_files.read_ensemble(folder)
    members = tuple(predictor.load(folder, registry, name) for name in names)
    if not members or any((m.classes, m.rule) != (members[0].classes, members[0].rule) for m in members):
        raise InputError(f"{folder}: its members do not see the same classes and pixels.")
    _share_bodies(members)
    return Averaged(members)


def _share_bodies(members: Sequence[Predictor]) -> None:
    """Let heads on the same frozen network hold one copy of it, here and in an export."""
    seen: dict[str, Any] = {}
    for member in members:
        body = member.classifier.body
        member.classifier.body = seen.setdefault(predictor.weights_hash(body), body)
