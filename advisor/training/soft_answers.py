"""A teacher's answers on training images, as a student learns from them: log-probabilities of fixed augmented views.

In: a teacher's logits. Out: `SoftAnswers`, a file of them that a rerun reads again, and the rows that a training needs.
Teacher and student see the same view of an image (Beyer et al. 2022, 2106.05237): the answers belong to the views that are
drawn from `view_seed`, whatever the seed of the training is.
Does NOT cover: asking the teacher (`workflows.distillation`), the loss (its strategy).
Legend: V views, N images, K classes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.aliases import Float32s
from advisor.errors import TrialError
from advisor.runtime import atomic_file, stored_arrays

Ids = npt.NDArray[np.uint64]
LOWEST = -30.0  # a class that a teacher excludes (a vote of neighbours) has this log-probability, not minus infinity


@dataclass(frozen=True, kw_only=True)
class SoftAnswers:
    """Log-probabilities (V, N, K) of images with these ids (N,), each id once, in rising order."""

    ids: Ids
    log_probabilities: Float32s
    view_seed: int

    def of(self, ids: Ids) -> Float32s:
        """Return the answers (V, N, K) on the images with these ids, in their order; one id may stand there twice.

        Raises TrialError where there is no answer on one of them.
        """
        position = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        missing = int((self.ids[position] != ids).sum())
        if missing:
            raise TrialError(f"the teacher's answers are missing for {missing} of {len(ids)} images")
        return self.log_probabilities[:, position]


def make(ids: Ids, logits_VNK: npt.NDArray[np.floating], view_seed: int) -> SoftAnswers:
    """Turn a teacher's logits into answers; of images with equal bytes the first counts."""
    highest = logits_VNK.max(axis=2, keepdims=True)
    shifted = np.asarray(logits_VNK, dtype=np.float64) - highest
    log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    unique, first = np.unique(ids, return_index=True)
    answers = np.maximum(log_p, LOWEST)[:, first].astype(np.float32)
    return SoftAnswers(ids=unique, log_probabilities=answers, view_seed=view_seed)


def write(path: Path, answers: SoftAnswers) -> str:
    """Write the answers to a file, the same bytes for the same answers; return its SHA-256."""
    with atomic_file.replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file, ids=answers.ids, log_probabilities=answers.log_probabilities, view_seed=np.uint64(answers.view_seed)
        )
    return sha256(path)


def read(path: Path) -> SoftAnswers:
    """Read the answers from a file. Raises TrialError where it is none."""
    try:
        with np.load(path) as saved:
            return SoftAnswers(
                ids=saved["ids"], log_probabilities=saved["log_probabilities"], view_seed=int(saved["view_seed"])
            )
    except (*stored_arrays.DAMAGED, KeyError, TypeError, IndexError) as error:
        raise TrialError(f"{path}: no file of a teacher's answers ({type(error).__name__})") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
