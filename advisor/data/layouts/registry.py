"""The layouts in the order in which they are tried, and the one function that reads any of them.

A layout is a module (or object) with `NAME`, `recognise(path, options)` and `read(path, options)`; the first one that
recognises a path reads it. A new layout is a file beside this one and a line in `LAYOUTS`; those of plugins
(`plugin_layouts`) are tried first, since they were installed for their data.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import shlex
from pathlib import Path
from typing import Protocol

from advisor.data.archives import archive, archive_folder
from advisor.data.images import printable
from advisor.data.layouts import (
    class_first,
    class_folders,
    huggingface_saved,
    kaggle_flat,
    labels_in_names,
    manifest,
    metadata_folder,
    names,
    parquet_shards,
    plugin_layouts,
    split_folders,
    webdataset,
)
from advisor.data.layouts.folder_walk import Level, Walk
from advisor.data.layouts.listing import shortened
from advisor.errors import DatasetError, InputError
from advisor.plugin_validation import BUILT_IN_LAYOUTS
from advisor.records.data import Listing, ReadOptions

_UNPACK = "Unpack it and give the folder; ZIP and TAR are read themselves."
_EXPORT = "Save the table as CSV and give that file."
_CONVERT = {".7z": _UNPACK, ".rar": _UNPACK, ".gz": _UNPACK, ".bz2": _UNPACK, ".xz": _UNPACK, ".zst": _UNPACK} | {
    ".xlsx": _EXPORT, ".xls": _EXPORT, ".ods": _EXPORT,
}  # fmt: skip


class BuiltInLayout(Protocol):
    """One arrangement of labelled images on disk."""

    @property
    def NAME(self) -> str:  # noqa: N802 (a module's constant)
        """Name in `Dataset.layout` and for `--layout`."""

    def recognise(self, path: Path, options: ReadOptions) -> bool:
        """Return True where this layout can read the path. Raises DatasetError where it nearly could."""

    def read(self, path: Path, options: ReadOptions) -> Listing:
        """List the labelled files. Raises DatasetError."""


# The most specific first: what names a table or splits is recognised before plain class folders.
LAYOUTS: tuple[BuiltInLayout, ...] = (
    labels_in_names,
    webdataset,
    huggingface_saved,
    metadata_folder,
    parquet_shards,
    class_first,
    split_folders,
    kaggle_flat,
    manifest,
    class_folders,
)
CLASS_FOLDERS = frozenset({class_folders.NAME, class_first.NAME, split_folders.NAME})  # whose folders name the classes


_OF_TABLES = ("root", "path_column", "label_column", "group_column", "split_column")  # options that only tables heed


def find(path: Path, options: ReadOptions) -> Listing:
    """List the labelled files of a folder, table or archive without decoding them. Raises DatasetError."""
    # A shell completes the name of a folder with a slash.
    options = dataclasses.replace(options, exclude=tuple(name.rstrip("/") for name in options.exclude))
    listing = _listed(path, options)
    notes = _not_excluded(listing, options)
    listing = dataclasses.replace(listing, warnings=(*notes, *listing.warnings)) if notes else listing
    has_no_table = listing.layout in CLASS_FOLDERS | {labels_in_names.NAME, webdataset.NAME}
    ignored = [name for name in _OF_TABLES if has_no_table and getattr(options, name) is not None]
    if options.label_from is not None and listing.layout in BUILT_IN_LAYOUTS - {labels_in_names.NAME}:
        ignored.append("label_from")
    if not ignored:
        return listing
    shown = shortened(f"--{name.replace('_', '-')}" for name in ignored)
    note = (
        f"{shown}: without effect, since the data are read as {listing.layout}; give the path of the table to use one."
    )
    return dataclasses.replace(listing, warnings=(note, *listing.warnings))


def _not_excluded(listing: Listing, options: ReadOptions) -> list[str]:
    """Return warnings about folders to leave out whose images are used, or that are not there."""
    notes = []
    for name in options.exclude:
        used = sum(name in entry.path.split("/")[:-1] for entry in listing.entries)
        shown = f"--exclude {shlex.quote(printable(name))}: without effect"
        if used:
            notes.append(f"{shown}, {used:,} images in a folder of this name are used.")
        elif not any((listing.root / parent / name).is_dir() for parent in ("", *Level.read(listing.root).folders)):
            notes.append(f"{shown}, there is no such folder. Name folders without a path, as they lie in the data set.")
    return notes


def _listed(path: Path, options: ReadOptions) -> Listing:
    _check_kind(path)
    if options.layout is not None:
        if options.layout != webdataset.NAME and archive.is_archive(path):
            path = archive.contents(path)
        elif options.layout != webdataset.NAME and archive_folder.is_folder_of_archives(path):
            path = archive_folder.contents(path)
        layouts = LAYOUTS if options.layout in BUILT_IN_LAYOUTS else (*LAYOUTS, *plugin_layouts.installed())
        named = [layout for layout in layouts if options.layout == layout.NAME]
        if not named:
            names = shortened([layout.NAME for layout in layouts], 20)
            raise InputError(f"unknown layout {printable(options.layout)!r}.", hint=f"Give one of {names}.")
        _check_exists(path)
        if options.layout in CLASS_FOLDERS and not path.is_dir():
            raise DatasetError(
                f"{printable(str(path))} is no folder.", hint=f"--layout {options.layout} reads folders."
            )
        return named[0].read(path, options)
    _check_exists(path)
    is_shard = webdataset.recognise(path, options)
    if archive.is_archive(path) and not is_shard:
        return _of_archive(path, archive.contents(path), options)
    are_archives = archive_folder.is_folder_of_archives(path) and not is_shard
    for layout in (*plugin_layouts.installed(), *(() if are_archives else LAYOUTS)):
        if layout.recognise(path, options):
            return _with_unlisted(_with_unused_table(layout.read(path, options), path), path)
    if are_archives:
        return _of_archive(path, archive_folder.contents(path), options)
    raise DatasetError(
        f"{printable(str(path))} is a file, not a folder, and no known table or archive.",
        hint="Give a folder of class folders, of train/val/test, or a CSV, TSV, JSONL or Parquet table (path,label).",
    )


def _of_archive(path: Path, inner: Path, options: ReadOptions) -> Listing:
    """List what was unpacked from an archive, an archive within it included. Messages name the archive, not the cache."""
    try:
        listing = _listed(inner, options)
    except DatasetError as error:
        raise DatasetError(_of_given(error.what, inner, path), hint=_of_given(error.hint, inner, path)) from error
    warnings = [_of_given(text, inner, path) for text in listing.warnings]
    is_plain = all(entry.path.isascii() and entry.label.isascii() for entry in listing.entries)
    guessed = "" if is_plain or not archive.is_archive(path) else archive.guessed_name(path)
    if guessed:
        warnings.insert(
            0,
            f"{printable(str(path))} does not state the encoding of its names: they are read as those of MS-DOS (such as "
            f"{printable(guessed)}). Where they look wrong, unpack it yourself with the right one, such as `unzip -O GBK`.",
        )
    return dataclasses.replace(listing, warnings=tuple(warnings))


def _of_given(text: str, inner: Path, path: Path) -> str:
    """Name in a message the archive that was given for the folder of the cache, quoted within a command."""
    folder, shown = printable(str(inner)), printable(str(path))
    parts = text.split("`")
    parts[::2] = [part.replace(folder, shown) for part in parts[::2]]
    parts[1::2] = [part.replace(folder, shlex.quote(shown)) for part in parts[1::2]]
    is_part = f"{folder}/" in text and "`" in text
    return "`".join(parts) + (" Unpack the archive first." if is_part else "")


def _check_kind(path: Path) -> None:
    """Raise DatasetError for a file that must be converted first."""
    suffix = manifest.suffix_of(path)
    if suffix in _CONVERT and path.is_file() and not archive.is_archive(path):
        raise DatasetError(f"{printable(str(path))} cannot be read as it is.", hint=_CONVERT[suffix])


def _with_unused_table(listing: Listing, path: Path) -> Listing:
    """Add a warning about a table that lies beside the folders that were read."""
    if listing.layout not in (class_folders.NAME, split_folders.NAME):
        return listing
    table = manifest.only_table(path)
    if table is None:
        return listing
    note = f"{printable(table.name)} lies beside the class folders and is not used; give its path to use it."
    return dataclasses.replace(listing, warnings=(*listing.warnings, note))


def _with_unlisted(listing: Listing, path: Path) -> Listing:
    """Add warnings about images beside those that a table lists, and about folders that it gives other labels."""
    if listing.layout not in (manifest.NAME, metadata_folder.NAME):
        return listing
    listed = {entry.path for entry in listing.entries} | {u.path for u in listing.unreadable}
    folders = {posixpath.dirname(path) for path in listed}
    beside = [
        f"{folder}/{name}" if folder else name
        for folder in sorted(folders)
        for name in Level.read(listing.root / folder).images
    ]
    images = [image for image in beside if image not in listed]
    top = {path.split("/")[0] for path in listed}
    others = [name for name in Level.read(path).folders if name not in top] if path.is_dir() else []
    unlisted = [f"{name}/" for name in others if next(Walk(path).images(name), None) is not None]
    if images:
        unlisted.insert(0, f"{len(images)} {'image' if len(images) == 1 else 'images'} (first: {printable(images[0])})")
    notes = [f"without a label in the table, so skipped: {shortened(unlisted)}."] if unlisted else []
    labels = {entry.label.casefold() for entry in listing.entries}
    named = [
        name for name in sorted(folders) if name and not names.split_of(name) and not names.is_part_of_data_set(name)
    ]
    if listing.layout == metadata_folder.NAME and len(named) > 1 and not {name.casefold() for name in named} & labels:
        notes.append(f"the labels are those of the table, not the names of the folders ({shortened(named)}).")
    splits = names.splits_of(sorted(top))
    if len(set(splits.values())) > 1 and not any(entry.given for entry in listing.entries):
        notes.append(
            f"the table states no split, so {shortened(sorted(splits))} are read as one set: a column split would."
        )
    return dataclasses.replace(listing, warnings=(*listing.warnings, *notes))


def _check_exists(path: Path) -> None:
    """Raise DatasetError where nothing can be read at the path: missing, a broken link, no permission."""
    shown = printable(str(path))
    if not os.path.lexists(path):
        raise DatasetError(f"no such folder: {shown}.", hint="Check the path.")
    if path.is_symlink() and not path.exists():
        raise DatasetError(f"{shown} is a broken symbolic link.", hint="Check where it points.")
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise DatasetError(f"permission denied: {shown}.", hint="Check the permissions of the folder.")
