"""Splits inside of class folders: `cat/train/`, `cat/test/`, `dog/train/`, `dog/test/`."""

from __future__ import annotations

from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.class_folders import command
from advisor.data.layouts.folder_walk import Level, Walk
from advisor.data.layouts.listing import label_name, shortened, written_twice
from advisor.errors import DatasetError
from advisor.records.data import LabelledFile, Listing, ReadOptions

NAME = "class_first"


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True where two or more class folders hold nothing but folders named like splits, training among them.

    Raises DatasetError where these look like data sets of their own.
    """
    if not path.is_dir():
        return False
    folders = [name for name in Level.read(path).folders if name not in options.exclude]
    if len(folders) < 2 or names.splits_of(folders) or any(names.is_part_of_data_set(name) for name in folders):
        return False
    levels = [Level.read(path / name) for name in folders]
    splits = [names.splits_of(level.folders) for level in levels]
    recognised = all(
        named and len(named) == len(level.folders) and not level.images and "train" in named.values()
        for level, named in zip(levels, splits, strict=True)
    )
    if recognised and options.layout != NAME:
        _check_depth(path, {name: tuple(named) for name, named in zip(folders, splits, strict=True)})
    return recognised


def _check_depth(path: Path, splits: dict[str, tuple[str, ...]]) -> None:
    """Raise DatasetError where every split of every folder holds folders and no images: these are data sets."""
    inside = [Level.read(path / name / split) for name, named in splits.items() for split in named]
    if any(level.images or len(level.folders) < 2 for level in inside):
        return
    first = next(iter(splits))
    raise DatasetError(
        f"{printable(str(path))}: {shortened(splits)} each hold splits of class folders: they look like data sets of their "
        "own.",
        hint=f"Give one of them: {command(path / first)}. With {shortened(splits)} as classes: "
        f"{command(path, '--layout', NAME)}.",
    )


def read(path: Path, options: ReadOptions) -> Listing:
    """List the images of every split of every class folder."""
    top = Level.read(path)
    walk = Walk(path)
    walk.count("", top)
    walk.unlabelled += len(top.images)
    folders = [name for name in top.folders if name not in options.exclude]
    entries: list[LabelledFile] = []
    for name in folders:
        level = Level.read(path / name)
        walk.count(name, level)
        for folder, split in names.splits_of(level.folders).items():
            images = walk.of_class(f"{name}/{folder}")
            entries += [LabelledFile(path=image, label=label_name(name), given=split) for image in images]
    shown = shortened(sorted({split for entry in entries if (split := entry.given)}))
    warnings = [f"the class folders hold splits ({shown}): read as such.", *written_twice(folders)]
    return walk.listing(NAME, entries, warnings)
