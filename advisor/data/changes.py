"""Changes of a data set's files after they were first read: what a resumed or a long run must notice before it continues.

In: the split list of a run, a data set or its items. Out: sentences such as "dog/5.jpg (removed)", sorted by path. Files that
were added are noticed by a resume only: they do not affect what a running process uses. Does NOT cover: what to do about it.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

from advisor.errors import DatasetError
from advisor.records import Dataset, Item

CLOCK_SLACK_S = 2.0  # file systems store times with a resolution of up to two seconds


def since_listed(split_list: Path, dataset: Dataset) -> tuple[str, ...]:
    """Compare a data set with the split list that an earlier process wrote (`splits.write_csv`).

    Raises DatasetError if the list cannot be read.
    """
    try:
        with open(split_list, encoding="utf-8", errors="surrogateescape", newline="") as file:
            before = {row["path"]: (row["sha256"], row["label"], row["split"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, csv.Error) as error:
        raise DatasetError(f"{split_list}: cannot be read ({error}).", hint="Start a new run.") from error
    now = {
        i.path: (i.sha256, dataset.classes[i.label], "test" if i.split == "test" else "train") for i in dataset.items
    }
    different = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    # One added image may move others between the splits: those moves are its consequence, not the cause to report.
    causes = [path for path in different if _content(before.get(path)) != _content(now.get(path))]
    return tuple(f"{path} ({_kind(before.get(path), now.get(path))})" for path in causes or different)


def listed(split_list: Path) -> dict[str, str]:
    """Return the split of every content hash in a split list, "train" if any such image is trained on, else "test".

    {} where there is no list.
    """
    try:
        with open(split_list, encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["split"] == "train")
            return {row["sha256"]: row["split"] for row in rows}
    except (OSError, KeyError, csv.Error):
        return {}


def content(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, "" where it cannot be read."""
    try:
        return _sha256(file)
    except OSError:
        return ""


def since_read(root: str, items: Sequence[Item], read_at_s: float) -> tuple[str, ...]:
    """List the items whose files were removed or changed since `read_at_s`, a time.time() before they were read.

    Only files with another size, or with a time stamp after `read_at_s`, are read again.
    """
    changed = []
    for item in items:
        file = Path(root) / item.path
        try:
            state = file.stat()
            touched = max(state.st_mtime, state.st_ctime) >= read_at_s - CLOCK_SLACK_S
            if state.st_size != item.bytes or (touched and _sha256(file) != item.sha256):
                changed.append(f"{item.path} (changed)")
        except OSError:
            changed.append(f"{item.path} (removed)")
    return tuple(sorted(changed))


def describe(changes: Sequence[str]) -> str:
    """Return how many files differ and which one first, for an error line."""
    return f"{len(changes):,} {'file differs' if len(changes) == 1 else 'files differ'}, first: {changes[0]}"


def _content(row: tuple[str, str, str] | None) -> tuple[str, str] | None:
    return None if row is None else row[:2]


def _kind(before: tuple[str, str, str] | None, now: tuple[str, str, str] | None) -> str:
    if before is None or now is None:
        return "added" if before is None else "removed"
    if before[0] != now[0]:
        return "changed"
    return f"another class, {now[1]}" if before[1] != now[1] else f"now in the {now[2]} split"


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
