"""Labels in file names or paths, by `--label-from REGEX`: the first group (or the one called `label`) is the label.

The expression is searched in the path relative to the folder, with forward slashes: `--label-from '^([a-z]+)_'`. Folders at
the top that are named like splits state them.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Walk
from advisor.data.layouts.listing import label_name, shortened
from advisor.errors import DatasetError, InputError
from advisor.records.data import LabelledFile, Listing, ReadOptions

NAME = "names"


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True where an expression is given for a folder."""
    return options.label_from is not None and path.is_dir()


def read(path: Path, options: ReadOptions) -> Listing:
    """List all images below the folder whose path matches, with the splits of its folders; the others are skipped.

    Raises DatasetError.
    """
    pattern = _pattern(options.label_from or "")
    walk = Walk(path)
    entries, unmatched = [], []
    images = list(walk.images(""))
    chosen = [image for image in images if not set(image.split("/")[:-1]) & set(options.exclude)]
    walk.unlabelled += len(images) - len(chosen)
    for image in chosen:
        match = pattern.search(image)
        label = match.group("label" if "label" in pattern.groupindex else 1) if match else None
        if label:
            entries.append(LabelledFile(path=image, label=label_name(label)))
        else:
            unmatched.append(image)
    if not entries:
        example = f" (for example {printable(unmatched[0])})" if unmatched else ""
        raise DatasetError(
            f"{printable(str(path))}: --label-from matches none of {len(unmatched)} images{example}.",
            hint="The expression is searched in the path below the folder; its first group is the label.",
        )
    walk.unlabelled += len(unmatched)
    warnings = []
    if unmatched:
        warnings.append(
            f"--label-from does not match {len(unmatched)} images: skipped (first: {printable(unmatched[0])})."
        )
    entries, notes = _with_splits(entries)
    return walk.listing(NAME, entries, notes + warnings)


def _with_splits(entries: list[LabelledFile]) -> tuple[list[LabelledFile], list[str]]:
    """Return the entries with the splits of the top folders, where several of them are named like splits, and a note."""
    splits = names.splits_of(dict.fromkeys(entry.path.split("/")[0] for entry in entries if "/" in entry.path))
    if len(set(splits.values())) < 2 or "train" not in splits.values():
        return entries, []
    divided = [dataclasses.replace(entry, given=splits.get(entry.path.split("/")[0], "")) for entry in entries]
    return divided, [f"folders read as splits: {shortened(f'{name} ({splits[name]})' for name in sorted(splits))}."]


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f"--label-from {text!r}: no valid regular expression ({error}).", hint="Check it.") from error
    if not pattern.groups:
        raise InputError(f"--label-from {text!r} has no group.", hint="Put the label in parentheses: '^([a-z]+)_'.")
    return pattern
