"""Splits of class folders: `train/cat/`, `val/cat/`, `test/cat/`, under the usual names and their variants.

Folders beside them are skipped with a warning, or stop the reading where they could hold more training images. Does
NOT cover: which split becomes the held-out test set (`dataset`).
"""

from __future__ import annotations

import shlex
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.class_folders import command, deeper_classes
from advisor.data.layouts.folder_walk import Level, Walk
from advisor.data.layouts.listing import label_name, shortened, written_twice
from advisor.errors import DatasetError
from advisor.records.data import GivenSplit, LabelledFile, Listing, ReadOptions

NAME = "splits"


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True where folders are named like splits and a training folder among them has class folders.

    Raises DatasetError where such folders hold classes but none of them is for training, or the data lie deeper.
    """
    if not path.is_dir():
        return False
    folders = [name for name in Level.read(path).folders if name not in options.exclude]
    splits = names.splits_of(folders)
    inside = {name: Level.read(path / name) for name in splits}
    if any(splits[name] == "train" and inside[name].folders for name in splits):
        _check_depth(path, splits, inside)
        return True
    with_classes = [name for name in splits if len(inside[name].folders) > 1]
    if with_classes and len(splits) == len(folders):
        raise DatasetError(
            f"{printable(str(path))} has {shortened(sorted(splits))} but no train/ with class folders.",
            hint="Name the folder of training images train/, or give the folder that holds the class folders: "
            f"{command(path / with_classes[0])}.",
        )
    return False


def read(path: Path, options: ReadOptions) -> Listing:
    """List the images of the class folders of each split. Raises DatasetError for folders that could be training data."""
    top = Level.read(path)
    folders = [name for name in top.folders if name not in options.exclude]
    splits = names.splits_of(folders)
    walk = Walk(path)
    walk.count("", top)
    walk.unlabelled += len(top.images)
    warnings = _renamed(splits)
    warnings += _neighbours(path, [name for name in folders if name not in splits], splits, options)
    walk.unlabelled += len(top.folders) - len(splits)
    if top.images:
        warnings.append(f"{len(top.images)} images beside {shortened(sorted(splits))} belong to no split: skipped.")
    entries: list[LabelledFile] = []
    if options.layout != NAME:
        _check_classes(path, splits, options)
    for folder, split in sorted(splits.items()):
        level = Level.read(path / folder)
        walk.count(folder, level)
        if level.images:
            walk.unlabelled += len(level.images)
            warnings.append(_unlabelled(path / folder, folder, len(level.images)))
        classes = [name for name in level.folders if name not in options.exclude]
        warnings += [f"{printable(folder)}/: {note}" for note in written_twice(classes)]
        for name in classes:
            images = walk.of_class(f"{folder}/{name}")
            if not images:
                warnings.append(f"class folder {printable(folder)}/{printable(name)}/ holds no images.")
            entries += [LabelledFile(path=image, label=label_name(name), given=split) for image in images]
    listed = dict.fromkeys(entry.path.split("/")[1] for entry in entries)
    warnings += deeper_classes(path, listed, entries, depth=1)
    return walk.listing(NAME, entries, warnings)


def _check_depth(path: Path, splits: dict[str, GivenSplit], inside: dict[str, Level]) -> None:
    """Raise DatasetError for `train/train/cat`: the splits are one level further down."""
    for name in splits:
        deeper = names.splits_of(inside[name].folders)
        only_splits = len(deeper) == len(inside[name].folders) and "train" in deeper.values()
        if only_splits and any(Level.read(path / name / folder).folders for folder in deeper):
            raise DatasetError(
                f"{printable(str(path))}: {printable(name)}/ itself holds {shortened(sorted(deeper))}.",
                hint=f"Give that folder: {command(path / name)}.",
            )


def _check_classes(path: Path, splits: dict[str, GivenSplit], options: ReadOptions) -> None:
    """Raise DatasetError where a class folder is named like a split or like unlabelled images, unless every split has it."""
    inside = {folder: set(Level.read(path / folder).folders) - set(options.exclude) for folder in splits}
    classes = [names_inside for names_inside in inside.values() if names_inside]
    for folder in sorted(inside):
        for name in sorted(inside[folder]):
            shared = len(classes) > 1 and all(name in names_inside for names_inside in classes)
            if not shared and (names.split_of(name) or names.is_unlabelled(name)):
                raise DatasetError(
                    f"{printable(str(path))}: {printable(folder)}/{printable(name)}/ could be a class, a split or a set "
                    f"without labels beside the classes {shortened(sorted(inside[folder] - {name}))}.",
                    hint=f"Without it: {command(path, '--exclude', shlex.quote(printable(name)))}. "
                    f"As a class: {command(path, '--layout', NAME)}.",
                )


def _renamed(splits: dict[str, GivenSplit]) -> list[str]:
    others = [f"{printable(n)} ({s})" for n, s in sorted(splits.items()) if n.lower() not in names.PLAIN_SPLITS]
    notes = [f"folders read as splits: {shortened(others)}."] if others else []
    for split in sorted(set(splits.values())):
        same = sorted(name for name in splits if splits[name] == split)
        if len(same) > 1:
            notes.append(f"read together as the {split} split: {shortened(same)}.")
    return notes


def _neighbours(path: Path, beside: list[str], splits: dict[str, GivenSplit], options: ReadOptions) -> list[str]:
    """Return warnings about folders beside the splits. Raises DatasetError where one could hold training images."""
    filled = [name for name in beside if next(Walk(path / name).images(""), None) is not None]
    unknown = [n for n in filled if not names.is_unlabelled(n) and n.lower() not in names.ANNOTATIONS]
    if unknown and len(set(splits.values())) == 1 and options.layout != NAME:
        split = next(iter(splits))
        excluded = [word for name in unknown for word in ("--exclude", shlex.quote(printable(name)))]
        raise DatasetError(
            f"{printable(str(path))}: {printable(split)}/ holds class folders, and {shortened(unknown)} beside it holds "
            "images too.",
            hint=f"To train on {printable(split)}/ only: {command(path, *excluded)}. "
            f"With {shortened([split, *unknown])} as classes: {command(path, '--layout', 'folders')}.",
        )
    warnings = [f"folders beside the splits are skipped: {shortened(beside)}."] if beside else []
    if any(names.is_unlabelled(name) for name in filled):
        unlabelled = next(name for name in filled if names.is_unlabelled(name))
        warnings.append(f"for the unlabelled images: `tl-advise predict RUN {shlex.quote(str(path / unlabelled))}`.")
    return warnings


def _unlabelled(path: Path, folder: str, images: int) -> str:
    """Return the warning about images of a split outside of class folders."""
    return (
        f"{printable(folder)}/ holds {images} images outside class folders: no label, skipped; "
        f"`tl-advise predict RUN {shlex.quote(printable(str(path)))}` classifies them."
    )
