"""Listings and names in them: labels as they are stored, several names in one line, several listings as one."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from advisor.data.images import printable
from advisor.records import Unreadable
from advisor.records.data import LabelledFile, Listing


def label_name(text: str) -> str:
    """Return a label in composed Unicode (NFC), with bytes that are not UTF-8 escaped."""
    return unicodedata.normalize("NFC", printable(text))


def counted(n: int, what: str) -> str:
    """Return a number and the noun that it counts, in the plural where it is not one."""
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{n:,} {what if n == 1 else plural}"


def written_twice(folders: Iterable[str]) -> list[str]:
    """Return a warning for each label of several folders of one parent: the names differ in how Unicode writes them alone."""
    counts = Counter(label_name(name) for name in folders)
    return [
        f"{count} folders are called {name!r} and differ only in how Unicode writes their accents: read as one class."
        for name, count in sorted(counts.items())
        if count > 1
    ]


def shortened(names: Iterable[str], most: int = 5) -> str:
    """Join names for one line of text: the first `most`, and how many more there are."""
    shown = [printable(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def side_by_side(listings: Sequence[Listing]) -> Listing:
    """Return listings whose roots lie in the same folder, at least one of them, as one listing of that folder."""

    def below(listing: Listing, item: LabelledFile | Unreadable) -> str:
        return f"{listing.root.name}/{item.path}"

    entries = [dataclasses.replace(e, path=below(listing, e)) for listing in listings for e in listing.entries]
    unreadable = [dataclasses.replace(u, path=below(listing, u)) for listing in listings for u in listing.unreadable]
    return dataclasses.replace(
        listings[0],
        root=listings[0].root.parent,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        skipped=sum(listing.skipped for listing in listings),
        unreadable=tuple(sorted(unreadable, key=lambda u: u.path)),
        warnings=tuple(dict.fromkeys(w for listing in listings for w in listing.warnings)),
        has_groups=any(listing.has_groups for listing in listings),
    )
