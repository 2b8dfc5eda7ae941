"""What the predictions of a search say: suspicious labels, guessing and tables, from files as a run leaves them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from advisor.records import DuplicateGroup, Item
from advisor.selection import insights


def items(labels: list[int]) -> list[Item]:
    """Describe one image per label."""
    return [
        Item(
            path=f"c{k}/{n}.jpg",
            label=k,
            given="",
            split="pool",
            sha256="",
            width=8,
            height=8,
            mode="RGB",
            bytes=9,
        )
        for n, k in enumerate(labels)
    ]


def test_a_wrong_label_stands_first_in_the_file(tmp_path: Path) -> None:
    """The file lists every image, the wrong label first; a class named like a formula is neutralised."""
    labels = [0] * 30 + [1] * 30
    p = np.full((60, 2), 0.02)
    p[np.arange(60), labels] = 0.98
    p[7] = (0.01, 0.99)
    record = insights.write_suspects(tmp_path / "s.csv", items(labels), p, np.array(labels), ("cat", "=1+1"))
    with open(tmp_path / "s.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == record.examined == 60
    assert {k: rows[0][k] for k in ("path", "label", "suggested", "score")} == {
        "path": "c0/7.jpg",
        "label": "cat",
        "suggested": "'=1+1",
        "score": "0.01",
    }
    assert record.worth == 1
    assert record.first[0].suggested == "=1+1"


def test_duplicates_with_different_labels_stand_first(tmp_path: Path) -> None:
    """One of two equal images with different labels is wrong: the one that the models believe less, though both are sure."""
    labels = [0] * 20 + [1] * 20
    p = np.full((40, 2), 0.02)
    p[np.arange(40), labels] = 0.98
    p[3], p[25] = (0.9, 0.1), (0.05, 0.95)
    twins = DuplicateGroup(kind="near", paths=("c0/3.jpg", "c1/25.jpg"), across=False, labels_differ=True)
    record = insights.write_suspects(tmp_path / "s.csv", items(labels), p, np.array(labels), "ab", [twins])
    assert (record.worth, record.conflicting) == (1, 1)
    first = record.first[0]
    assert (first.path, first.suggested, first.duplicate) == ("c0/3.jpg", "b", "c1/25.jpg")


def test_few_classes_without_mistakes_have_no_suspects(tmp_path: Path) -> None:
    """Where the models agree with every label the record says so and shows none."""
    p = np.full((20, 2), 0.1)
    p[np.arange(20), np.arange(20) % 2] = 0.9
    record = insights.write_suspects(tmp_path / "s.csv", items([n % 2 for n in range(20)]), p, np.arange(20) % 2, "ab")
    assert (record.worth, record.first) == (0, ())


@pytest.mark.parametrize(
    ("recall", "precision", "expected"),
    [(1.0, 1.0, 1.0), (0.5, 1.0, 2 / 3), (0.0, None, 0.0), (None, 0.5, None), (0.0, 0.0, 0.0)],
)
def test_f1_is_the_harmonic_mean(recall: float | None, precision: float | None, expected: float | None) -> None:
    """As scikit-learn counts it; None for a class without images."""
    value = insights.f1(recall, precision)
    assert value == (None if expected is None else pytest.approx(expected))
