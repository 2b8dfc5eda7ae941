"""A folder of class folders: `cat/`, `dog/`; deeper folders belong to their class.

Stops where names or neighbours suggest another layout, with both readings and the command for each. Does not cover:
given splits (`split_folders`, `class_first`).
"""

from __future__ import annotations

import shlex
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Level, Walk, suffix_counts
from advisor.data.layouts.listing import label_name, shortened
from advisor.errors import DatasetError
from advisor.records.data import LabelledFile, Listing, ReadOptions

NAME = "folders"


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True for every folder: this is the layout of last resort."""
    return path.is_dir()


def read(path: Path, options: ReadOptions) -> Listing:
    """List the images of every class folder. Raises DatasetError where there is none, or other readings are likelier."""
    top = Level.read(path)
    if top.refused:
        raise DatasetError(f"cannot list {printable(str(path))}: {top.refused}.")
    folders = tuple(name for name in top.folders if name not in options.exclude)
    if not folders:
        raise _no_classes(path, top)
    if options.layout != NAME:
        _check_depth(path, folders)
        _check_names(path, folders)
    walk = Walk(path)
    walk.count("", top)
    walk.unlabelled += len(top.images) + len(top.folders) - len(folders)
    warnings = []
    if top.images:
        warnings.append(f"{len(top.images)} images beside the class folders have no label: skipped.")
    entries: list[LabelledFile] = []
    for name in folders:
        images = walk.of_class(name)
        if not images:
            warnings.append(f"class folder {printable(name)}/ holds no images: no class.")
        entries += [LabelledFile(path=image, label=label_name(name)) for image in images]
    warnings += _same_subfolders(path, folders, entries)
    return walk.listing(NAME, entries, warnings)


def command(path: Path | str, *options: str) -> str:
    """Return the command that inspects a path with more options, as a user would type it."""
    return f"`tl-advise inspect {' '.join([shlex.quote(printable(str(path))), *options])}`"


def _check_depth(path: Path, folders: tuple[str, ...]) -> None:
    """Raise DatasetError where a single folder holds the data set: it is one level further down."""
    filled = [name for name in folders if _holds_images(path / name)]
    if len(filled) != 1:
        return
    inner = Level.read(path / filled[0])
    if len([name for name in inner.folders if _holds_images(path / filled[0] / name)]) < 2:
        return
    raise DatasetError(
        f"{printable(str(path))} holds images in one folder only, {printable(filled[0])}/, whose subfolders "
        f"({shortened(inner.folders)}) look like the data set.",
        hint=f"Give that folder: {command(path / filled[0])}. As one class: {command(path, '--layout', NAME)}.",
    )


def _check_names(path: Path, folders: tuple[str, ...]) -> None:
    """Raise DatasetError where folders are named like splits or like unlabelled images."""
    suspicious = [name for name in folders if names.split_of(name) or names.is_unlabelled(name)]
    suspicious = [name for name in suspicious if _holds_images(path / name)]
    if not suspicious:
        return
    others = [name for name in folders if name not in suspicious]
    shown = printable(str(path))
    as_classes = f"As classes: {command(path, '--layout', NAME)}."
    if len(others) >= 2:
        excluded = [word for name in suspicious for word in ("--exclude", shlex.quote(printable(name)))]
        raise DatasetError(
            f"{shown}: {shortened(suspicious)} could be a class or a set without labels beside the classes "
            f"{shortened(others)}.",
            hint=f"Without it: {command(path, *excluded)}. {as_classes}",
        )
    raise DatasetError(
        f"{shown}: {shortened(folders)} look like splits, but hold no class folders of a training set.",
        hint=f"Put the images into train/CLASS/ and test/CLASS/, or give a table of path,label. {as_classes}",
    )


def _holds_images(path: Path) -> bool:
    return next(Walk(path).images(""), None) is not None


def _no_classes(path: Path, top: Level) -> DatasetError:
    shown = printable(str(path))
    hint = "Put the images of each class into a folder of its own, or give a CSV or TSV manifest (path,label)."
    if top.images:
        more = " Labels in file names are read with --label-from REGEX."
        return DatasetError(f"{shown} holds {len(top.images)} images but no class folders.", hint=hint + more)
    if top.others:
        walk = Walk(path)
        walk.count("", top)
        return DatasetError(f"{shown} holds no images ({suffix_counts(walk.suffixes)}).", hint=hint)
    return DatasetError(f"{shown} {'holds no images' if top.hidden else 'is empty'}.", hint=hint)


def _same_subfolders(path: Path, folders: tuple[str, ...], entries: list[LabelledFile]) -> list[str]:
    """Warn where every class folder holds the same subfolders: the classes are probably one level further down."""
    below: dict[str, set[str]] = {name: set() for name in folders}
    for entry in entries:
        parts = entry.path.split("/")
        below[parts[0]].add(parts[1] if len(parts) > 2 else "")
    sets = [subfolders for subfolders in below.values() if subfolders]
    if len(sets) < 2 or len(sets[0]) < 2 or "" in sets[0] or any(subfolders != sets[0] for subfolders in sets):
        return []
    return [
        f"{shortened(folders)} all hold the same subfolders ({shortened(sorted(sets[0]))}): the top folders are the "
        f"classes; for the subfolders as classes give {printable(str(path / folders[0]))}."
    ]
