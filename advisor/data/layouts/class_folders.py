"""A folder of class folders: `cat/`, `dog/`; deeper folders belong to their class.

Stops where names or neighbours suggest another layout, with both readings and the command for each. Does NOT cover:
given splits (`split_folders`, `class_first`).
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import manifest, names
from advisor.data.layouts.folder_walk import Level, Walk, suffix_counts
from advisor.data.layouts.listing import label_name, shortened, written_twice
from advisor.errors import DatasetError
from advisor.records.data import LabelledFile, Listing, ReadOptions

NAME = "folders"
SECOND_FOLDER, THIRD_FOLDER = "^[^/]+/([^/]+)/", "^[^/]+/[^/]+/([^/]+)/"  # expressions for --label-from


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
        _check_annotations(path, folders)
        _check_depth(path, folders)
        _check_tables(path, folders)
        _check_names(path, folders)
    walk = Walk(path)
    walk.count("", top)
    walk.unlabelled += len(top.images) + len(top.folders) - len(folders)
    warnings = written_twice(folders)
    if top.images:
        have = "image beside the class folders has" if len(top.images) == 1 else "images beside the class folders have"
        warnings.append(f"{len(top.images)} {have} no label: skipped.")
    entries: list[LabelledFile] = []
    for name in folders:
        images = walk.of_class(name)
        if not images:
            warnings.append(f"class folder {printable(name)}/ holds no images: no class.")
        entries += [LabelledFile(path=image, label=label_name(name)) for image in images]
    warnings += deeper_classes(path, folders, entries)
    return walk.listing(NAME, entries, warnings)


def command(path: Path | str, *options: str) -> str:
    """Return the command that inspects a path with more options, as a user would type it."""
    return f"`tl-advise inspect {' '.join([shlex.quote(printable(str(path))), *options])}`"


def _check_depth(path: Path, folders: tuple[str, ...]) -> None:
    """Raise DatasetError where a single folder holds the data set: it is one or more levels further down."""
    inner, below = path, folders
    while len(filled := _filled(inner, below)) == 1:
        inner = inner / filled[0]
        below = Level.read(inner).folders
    if inner == path or len(filled) < 2:
        return
    raise DatasetError(
        f"{printable(str(path))} holds images in one folder only, {printable(inner.relative_to(path).as_posix())}/, whose "
        f"subfolders ({shortened(below)}) look like the data set.",
        hint=f"Give that folder: {command(inner)}. As one class: {command(path, '--layout', NAME)}.",
    )


def _check_annotations(path: Path, folders: tuple[str, ...]) -> None:
    """Raise DatasetError for images of another task: one folder of images without classes beside annotations (COCO, YOLO)."""
    filled = _filled(path, folders)
    notes = [name for name in folders if name.lower() in names.ANNOTATIONS and not _holds_images(path / name)]
    if not notes or len(filled) != 1:
        return
    below = Level.read(path / filled[0]).folders
    if any(not names.split_of(name) or Level.read(path / filled[0] / name).folders for name in below):
        return
    raise DatasetError(
        f"{printable(str(path))}: the images in {printable(filled[0])}/ have no class folders; {shortened(notes)} beside "
        "it looks like annotations of detection or segmentation, which are not read.",
        hint="Give a table of path,label, put the images of each class into a folder of its own, or read labels in file "
        "names with --label-from REGEX.",
    )


def _check_names(path: Path, folders: tuple[str, ...]) -> None:
    """Raise DatasetError where folders are named like splits, like unlabelled images, or like parts of a data set."""
    splits = names.splits_of(folders)
    filled = [name for name in folders if _holds_images(path / name)]
    suspicious = [name for name in filled if name in splits or names.is_unlabelled(name)]
    as_classes = f"As classes: {command(path, '--layout', NAME)}."
    shown = printable(str(path))
    if len(filled) > 1 and all(names.is_part_of_data_set(name) for name in filled):
        raise DatasetError(
            f"{shown}: {shortened(filled)} look like parts of one data set, not like classes.",
            hint=f"Put the images of each class into a folder of its own, or give a table of path,label. {as_classes}",
        )
    _check_same_subfolders(path, folders, as_classes)
    if not suspicious:
        return
    others = [name for name in folders if name not in suspicious]
    if len(others) >= 2:
        excluded = [word for name in suspicious for word in ("--exclude", shlex.quote(printable(name)))]
        raise DatasetError(
            f"{shown}: {shortened(suspicious)} could be a class or a set without labels beside the classes "
            f"{shortened(others)}.",
            hint=f"Without it: {command(path, *excluded)}. {as_classes}",
        )
    training = next((name for name in others if len(Level.read(path / name).folders) > 1), "")
    if training:
        raise DatasetError(
            f"{shown}: {shortened(suspicious)} looks like a split, and no folder beside it is named like a training set.",
            hint=f"If {printable(training)}/ is the training set, rename it to train/, or give it alone: "
            f"{command(path / training)}. {as_classes}",
        )
    raise DatasetError(
        f"{shown}: {shortened(folders)} look like splits, but hold no class folders of a training set.",
        hint=f"Put the images into train/CLASS/ and test/CLASS/, or give a table of path,label. {as_classes}",
    )


def _check_same_subfolders(path: Path, folders: tuple[str, ...], as_classes: str) -> None:
    """Raise DatasetError where folders with the same subfolders are named like splits, or alike but for a number."""
    subfolders = {Level.read(path / name).folders for name in folders}
    mentioned = [name for name in folders if "train" in name.lower() or "test" in name.lower()]
    if len(folders) < 2 or len(subfolders) != 1 or len(inner := subfolders.pop()) < 2:
        return
    stems = {re.sub(r"\d+", "", name).strip(" _-") for name in folders}
    if len(stems) == 1 and "" not in stems:  # numbers alone are often classes
        raise DatasetError(
            f"{printable(str(path))}: {shortened(folders)} all hold {shortened(inner)}: the classes could be either.",
            hint=f"The subfolders as classes: {command(path, '--label-from', shlex.quote(SECOND_FOLDER))}. {as_classes}",
        )
    if not mentioned:
        return
    training = next((name for name in mentioned if "train" in name.lower()), folders[0])
    raise DatasetError(
        f"{printable(str(path))}: {shortened(folders)} could be splits of the classes {shortened(inner)}, or classes.",
        hint=f"As splits: rename them to train/, val/ and test/. {printable(training)}/ alone: "
        f"{command(path / training)}. {as_classes}",
    )


def _check_tables(path: Path, folders: tuple[str, ...]) -> None:
    """Raise DatasetError where tables beside the folders give the images labels that are not the folders' names."""
    labels = {table: manifest.labels(table) for table in manifest.tables(path)}
    tables = [table for table in labels if labels[table]]
    if not tables:
        return
    stated = labels[tables[0]]
    classes = {label_name(name).casefold() for name in folders}
    if len(folders) > 1 and 2 * sum(label.casefold() in classes for label in stated) >= len(stated):
        return  # the table repeats the folders
    raise DatasetError(
        f"{printable(str(path))}: the classes could be the folders ({shortened(folders)}) or the labels "
        f"({shortened(sorted(stated))}) of {shortened([table.name for table in tables])}.",
        hint=f"By the table: {command(tables[0])}. By the folders: {command(path, '--layout', NAME)}.",
    )


def _filled(path: Path, folders: tuple[str, ...]) -> list[str]:
    """Return the folders that hold images; those of annotations only where there are no others."""
    filled = [name for name in folders if _holds_images(path / name)]
    return [name for name in filled if name.lower() not in names.ANNOTATIONS] or filled


def _holds_images(path: Path) -> bool:
    return next(Walk(path).images(""), None) is not None


def _no_classes(path: Path, top: Level) -> DatasetError:
    shown = printable(str(path))
    hint = "Put the images of each class into a folder of its own, or give a CSV or TSV manifest (path,label)."
    if top.images:
        return DatasetError(
            f"{shown} holds {len(top.images)} images but no class folders.",
            hint=f"{hint} {_labels_in_names(path, top)}",
        )
    packed = [name for name in top.others if names.suffix_of(name) in names.ARCHIVES]
    archives = [name for name in packed if not manifest.is_table(path / name)]
    if archives:
        return DatasetError(
            f"{shown} holds no images but archives ({shortened(archives)}).",
            hint="Unpack them there; only ZIP and TAR are read as they are.",
        )
    if top.others:
        walk = Walk(path)
        walk.count("", top)
        return manifest.fault(path) or DatasetError(
            f"{shown} holds no images ({suffix_counts(walk.suffixes)}).", hint=hint
        )
    return DatasetError(f"{shown} {'holds no images' if top.hidden else 'is empty'}.", hint=hint)


def _labels_in_names(path: Path, top: Level) -> str:
    """Return what to do where labels stand in file names, with the expression if `cat_1.jpg` is their form."""
    pattern = r"^(.*?)[\s_.-]*\d+\.\w+$"
    matches = [re.match(pattern, name) for name in top.images]
    labels = Counter(match[1] for match in matches if match and match[1])
    if len(labels) > 1 and min(labels.values()) > 1 and all(matches) and "" not in labels:
        call = command(path, "--label-from", shlex.quote(pattern))
        return f"If their names begin with the label ({shortened(sorted(labels))}): {call}."
    return "Labels in file names are read with --label-from REGEX."


def deeper_classes(path: Path, folders: Iterable[str], entries: list[LabelledFile], *, depth: int = 0) -> list[str]:
    """Warn where the classes are probably one level further down: every class folder holds named folders alone.

    `depth` is the number of folders above the class folders: 1 where these lie in splits.
    """
    below: dict[str, set[str]] = {name: set() for name in folders}
    for entry in entries:
        parts = entry.path.split("/")[depth:]
        below[parts[0]].add(parts[1] if len(parts) > 2 else "")
    sets = {name: subfolders for name, subfolders in below.items() if subfolders}
    if len(sets) < 2 or any(len(subfolders) < 2 or "" in subfolders for subfolders in sets.values()):
        return []
    first, inner = next(iter(sets.items()))
    option = command(path, "--label-from", shlex.quote(THIRD_FOLDER if depth else SECOND_FOLDER))
    classes = f"{'these' if depth else 'the top folders'} are the classes; for the subfolders as classes: {option}"
    if all(subfolders == inner for subfolders in sets.values()):
        return [f"{shortened(sets)} all hold the same subfolders ({shortened(sorted(inner))}): {classes}."]
    if any(re.search(r"\d", name) for subfolders in sets.values() for name in subfolders):  # patients, sites, days
        return []
    own = "" if depth else f"; if each is a data set: {command(path / first)}"
    return [
        f"{shortened(sets)} hold folders of their own ({printable(first)}/: {shortened(sorted(inner))}): {classes}{own}."
    ]
