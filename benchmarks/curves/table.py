"""The recorded table as values: rows by cell, losses of every image, and each row as the search would see it.

In: curves.jsonl (record.py). Out: `Row` with arrays. Does NOT cover: what is fitted (fit.py) or replayed (../search).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import training
from predictor import Sighting

from advisor.records import Candidate

Floats = npt.NDArray[np.float64]
RECORDED = Path(__file__).resolve().parents[1] / "results" / "curves.jsonl"
PUBLISHED = {"mobilenet_v2": 0.71878, "squeezenet1_1": 0.58178, "pocket": None}
FAMILY = {"sketch": "pacs", "photo": "pacs"}  # what is left out together, since it shares its classes
SCALED_FROM = 0.02  # nats: a mean loss below it is taken for this much


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training. `losses` (R, H) in nats and `right` (R, H) at its R rungs on the cell's H held-out images."""

    data: str
    pool: int
    classes: int
    train: int
    candidate: Candidate
    regime: str
    steps: int
    batch: int
    shares: tuple[float, ...]
    losses: Floats
    right: npt.NDArray[np.bool_]
    raw_over_scaled: tuple[float, ...]
    setup_s: float
    steps_s: float
    score_s: float

    @property
    def cell(self) -> tuple[str, int]:
        """The data set and the size of its pool."""
        return self.data, self.pool

    @property
    def place(self) -> tuple[str, int]:
        """The network and its input size."""
        return self.candidate.backbone, self.candidate.size_px

    @property
    def is_probe(self) -> bool:
        """Whether it is a head that the search probes with."""
        return self.candidate.strategy == "ridge"

    def sighting(self, floor: float, **seen: Any) -> Sighting:
        """Describe it as the predictor sees it, beside a probe of this log-loss."""
        return Sighting(
            candidate=self.candidate,
            regime=self.regime,
            steps=self.steps,
            images=self.train,
            classes=self.classes,
            floor=floor,
            batch=self.batch,
            published=PUBLISHED[self.candidate.backbone],
            **seen,
        )


def read(path: Path = RECORDED) -> list[Row]:
    """Read every training that did not fail."""
    lines = path.read_text(encoding="utf-8").splitlines()
    stored = [json.loads(line) for line in lines]
    return [_row(row) for row in stored if "error" not in row]


def cells(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """Group rows by cell."""
    grouped: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.cell, []).append(row)
    return grouped


def floors(rows: Sequence[Row], losses: Sequence[float]) -> dict[tuple[str, int], float]:
    """Return the best probe's log-loss by place; `losses` are the rows' final ones."""
    best: dict[tuple[str, int], float] = {}
    for row, loss in zip(rows, losses, strict=True):
        if row.is_probe:
            best[row.place] = min(best.get(row.place, np.inf), loss)
    return best


def _row(row: dict[str, Any]) -> Row:
    held = row["held"]
    losses = np.stack([_bytes(text)[:held] for text in row["losses"]])
    right = np.stack([np.unpackbits(_bytes(text))[:held] for text in row["right"]]).astype(bool)
    scaled = [max(SCALED_FROM, v) for v in row["log_loss"]]
    return Row(
        data=row["data"],
        pool=row["pool"],
        classes=row["classes"],
        train=row["train"],
        candidate=Candidate(
            backbone=row["backbone"],
            strategy=row["strategy"],
            parameters=row["parameters"],
            origin=row["origin"],
            size_px=row["size_px"],
        ),
        regime=row["regime"],
        steps=row["steps"],
        batch=row.get("batch", 32),
        shares=tuple(r / row["steps"] for r in row["rung"]) if row["steps"] else (1.0,),
        losses=training.from_bytes(losses),
        right=right,
        raw_over_scaled=tuple(raw / s for raw, s in zip(row["raw_log_loss"], scaled, strict=True)),
        setup_s=row["setup_s"],
        steps_s=row.get("steps_s", row.get("fit_s", 0.0)),
        score_s=row.get("score_s", 0.0),
    )


def _bytes(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(base64.b85decode(text), np.uint8)
