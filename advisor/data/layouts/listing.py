"""The result of reading a layout, before any file is opened: labelled entries, skipped files, warnings.

In: names of files and labels. Out: `Listing`. Does not cover: whether a file is an image (`dataset`), which split an item
ends up in (`splits`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from advisor.data.images import printable
from advisor.records import Unreadable
from advisor.records.data import GivenSplit


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A labelled file: its path relative to the root (forward slashes), label name, given split and group."""

    path: str
    label: str
    given: GivenSplit = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a layout states: `entries` sorted by path, what was skipped, and warnings for the user.

    `skipped` counts hidden and other files; `skipped_suffixes` counts the other files by suffix ("" for none).
    """

    root: Path
    layout: str
    entries: tuple[Entry, ...]
    skipped: int = 0
    skipped_suffixes: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    warnings: tuple[str, ...] = ()
    has_groups: bool = False


def label_name(text: str) -> str:
    """Return a label in composed Unicode (NFC), with bytes that are not UTF-8 escaped."""
    return unicodedata.normalize("NFC", printable(text))


def shortened(names: Iterable[str], most: int = 5) -> str:
    """Join names for one line of text: the first `most`, and how many more there are."""
    shown = [printable(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
