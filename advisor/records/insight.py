"""What a finished run says about its data: labels that look wrong. Parts of `result.json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A label that looks wrong: out of fold, the models gave it `score` (a probability) and preferred `suggested`."""

    path: str
    label: str
    suggested: str
    score: float


@dataclass(frozen=True, kw_only=True)
class SuspectLabels:
    """Labels that look wrong among `examined` images: `worth` of them are worth a look, about `precision` (0..1) of those
    are wrong. `first` are the most suspicious; `file` lists all examined images in this order."""

    examined: int
    worth: int
    precision: float
    first: tuple[Suspect, ...]
    file: str
