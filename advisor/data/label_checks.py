"""Labels that are probably not what a user means: numbers to regress, several labels in one, near-equal spellings.

In: label names with their counts. Out: warnings, or a DatasetError for tasks that are not supported. Labels are never
merged or split here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping

from advisor.data.images import printable
from advisor.data.layouts.listing import shortened
from advisor.errors import DatasetError

_MOST_NUMBERS = 20  # distinct whole numbers from which on labels that hardly repeat are a quantity
_FEW_NUMBERS = 5  # the same for decimals, and for whole numbers that do not repeat at all
_PER_NUMBER = 2.0  # images per distinct number below which they hardly repeat
_PLACEHOLDERS = frozenset(
    ("na", "none", "?", "-", "-1", "--", "unknown", "unlabeled", "unlabelled", "missing", "tbd", "todo")
)
_SEPARATORS = re.compile(r"\s*[|;,]\s*")


def check(counts: Mapping[str, int], shown: str, *, are_folders: bool = False) -> None:
    """Raise DatasetError where the labels are a quantity (regression) or sets of labels (multi-label).

    Names of folders may consist of the words of others (`sea`, `lion`, `sea lion`): an image lies in one of them.
    """
    if _is_quantity(counts):
        raise DatasetError(
            f"{shown}: the labels are {len(counts)} different numbers on {sum(counts.values())} images: regression is not "
            "supported.",
            hint="Group the numbers into classes in the label column.",
        )
    joined = _multi_label(counts, by_words=not are_folders)
    if joined:
        raise DatasetError(
            f"{shown}: labels like {printable(joined[0])!r} name several classes at once ({len(joined)} of them): "
            "multi-label data are not supported.",
            hint="Give one class per image in the label column.",
        )


def remarks(counts: Mapping[str, int]) -> list[str]:
    """Return warnings about labels that may stand for a missing one, or for each other."""
    return [*_placeholders(counts), *_similar(counts)]


def _placeholders(counts: Mapping[str, int]) -> list[str]:
    """Return a warning about labels that often stand for a missing one; they are classes like any other."""
    names = [name for name in sorted(counts) if name.strip().lower() in _PLACEHOLDERS]
    if not names or len(names) == len(counts):
        return []
    shown = shortened([f"{name!r} ({counts[name]})" for name in names])
    return [f"{shown}: read as any other class; where it stands for a missing label, leave the cell empty."]


def _similar(counts: Mapping[str, int]) -> list[str]:
    """Return warnings about labels that differ only in case, spaces, quotes, accents' encoding or number format."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        groups[_key(name)].append(name)
    pairs = [", ".join(f"{printable(n)!r} ({counts[n]})" for n in names) for names in groups.values() if len(names) > 1]
    if not pairs:
        return []
    return [
        f"labels that differ only in case, spaces, quotes or number format are different classes: {shortened(pairs, 3)}; "
        "rename them if they are one."
    ]


def _is_quantity(counts: Mapping[str, int]) -> bool:
    """Return True where all labels are numbers that hardly repeat."""
    numbers = [value for name in counts if (value := _number(name)) is not None]
    images = sum(counts.values())
    if len(numbers) < len(counts) or images >= _PER_NUMBER * len(counts):
        return False
    decimals = any(value != int(value) for value in numbers)
    return len(counts) >= (_FEW_NUMBERS if decimals or images == len(counts) else _MOST_NUMBERS)


def _key(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    text = re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)  # Latin-1 bytes that were escaped
    text = re.sub(r"[\s_\-]+", " ", text.strip("\"'` ")).strip()
    value = _number(text)
    return f"{value:g}" if value is not None else text


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?", text.strip()):
        return None
    return float(text.strip().replace(",", "."))


def _multi_label(counts: Mapping[str, int], *, by_words: bool) -> list[str]:
    """Return the labels that join other labels: by a separator, or `by_words` where each word is a label of its own."""
    names = set(counts)
    parts = {name: _SEPARATORS.split(name.strip()) for name in names if _SEPARATORS.search(name.strip())}
    words = Counter(part for split in parts.values() for part in set(split))
    repeated = [name for name, split in parts.items() if all(part in names or words[part] > 1 for part in split)]
    spoken = [name for name in names if len(name.split()) > 1 and all(word in names for word in name.split())]
    bars = [name for name in names if "|" in name.strip("|") and any(words[part] > 1 for part in parts.get(name, ()))]
    lists = [name for name in names if re.fullmatch(r"[\[({].*,.*[\])}]", name.strip())]
    if lists or len(bars) > 1:
        return sorted(lists or bars)
    if len(repeated) > 1 or (repeated and any(part in names for part in parts[repeated[0]])):
        return sorted(repeated)
    return sorted(spoken) if by_words else []
