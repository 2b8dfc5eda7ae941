"""A teacher's answers as a file: the same bytes for the same answers, and the rows that a training asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from advisor.errors import TrialError
from advisor.training import soft_answers

IDS = np.array([9, 2, 7, 2], dtype=np.uint64)  # two images of equal bytes


def test_answers_are_log_probabilities_in_any_order() -> None:
    """They are scipy's log-softmax, bounded below, and found by id; an id may be asked for twice."""
    logits = np.random.default_rng(0).normal(size=(2, 4, 3)) * 20
    answers = soft_answers.make(IDS, logits, view_seed=3)
    expected = np.maximum(log_softmax(logits, axis=2), soft_answers.LOWEST)
    np.testing.assert_allclose(answers.of(IDS[[2, 0, 1, 1]]), expected[:, [2, 0, 1, 1]], rtol=1e-5, atol=1e-5)


def test_a_class_that_a_teacher_excludes_stays_finite() -> None:
    """Minus infinity would make the divergence undefined."""
    answers = soft_answers.make(IDS[:2], np.array([[[0.0, -np.inf], [-np.inf, 0.0]]]), view_seed=0)
    assert answers.log_probabilities.min() == soft_answers.LOWEST


def test_a_file_reads_back_and_has_one_hash(tmp_path: Path) -> None:
    """Equal answers are equal bytes, whenever they are written; other answers are not."""
    answers = soft_answers.make(IDS, np.random.default_rng(0).normal(size=(2, 4, 3)), view_seed=2**40)
    digest = soft_answers.write(tmp_path / "a.npz", answers)
    assert digest == soft_answers.write(tmp_path / "b.npz", answers)
    back = soft_answers.read(tmp_path / "a.npz")
    assert back.view_seed == 2**40
    np.testing.assert_array_equal(back.of(IDS), answers.of(IDS))
    other = soft_answers.make(IDS, np.zeros((2, 4, 3)), view_seed=2**40)
    assert soft_answers.write(tmp_path / "c.npz", other) != digest


def test_a_file_of_something_else_is_one_line(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "a.npz").write_text("no archive")
    with pytest.raises(TrialError, match=r"a\.npz: no file of a teacher's answers"):
        soft_answers.read(tmp_path / "a.npz")
