"""Layouts of third-party plugins, guarded: whatever their code does is one line that names the plugin.

In: the layouts that `registry` found. Out: objects that `layouts.registry` treats like its own modules. What they list is
checked: labels, splits, and that every path lies below the root. Does NOT cover: whether they are declared rightly
(`plugin_validation`), what `tl-advise plugins check` examines (`testing.layouts`).
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

from advisor import registry
from advisor.data.images import printable
from advisor.data.layouts.listing import label_name
from advisor.errors import AdviseError, PluginError, one_line
from advisor.hooks import Layout
from advisor.records.data import GivenSplit, LabelledFile, Listing, ReadOptions
from advisor.runtime.process import third_party
from advisor.runtime.process.plain_values import plain

T = TypeVar("T")


@dataclass(frozen=True)
class PluginLayout:
    """A layout of a plugin, with the members of a built-in one."""

    layout: Layout
    plugin: str

    @property
    def NAME(self) -> str:  # noqa: N802 (as in the modules of this package)
        """Name in `Dataset.layout` and for `--layout`."""
        return str(plain(self.layout.name))

    def recognise(self, path: Path, options: ReadOptions) -> bool:
        """Return True if the layout recognises the folder. Raises PluginError, and its own errors."""
        return bool(self._guarded(path, lambda: self.layout.recognise(path, options)))

    def read(self, path: Path, options: ReadOptions) -> Listing:
        """List the files by the layout, and check the list. Raises PluginError, and its own errors of the project."""
        listing = self._guarded(path, lambda: self.layout.read(path, options))
        fault = fault_of(listing)
        if fault:
            raise PluginError(f"{self._who(path)}: {fault}.", hint=self._hint())
        files = {file.path: file for file in map(_plain_file, listing.entries)}
        return dataclasses.replace(
            listing,
            layout=self.NAME,
            skipped=int(listing.skipped),
            skipped_suffixes={str(suffix): int(count) for suffix, count in listing.skipped_suffixes.items()},
            entries=tuple(files[name] for name in sorted(files)),
            has_groups=any(file.group for file in files.values()),
            warnings=(f"read by the layout {self.NAME} of the plugin {self.plugin}.", *map(str, listing.warnings)),
        )

    def _guarded(self, path: Path, call: Callable[[], T]) -> T:
        try:
            with third_party.contained():
                return call()
        except AdviseError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise PluginError(f"{self._who(path)} failed: {reason}.", hint=self._hint()) from error

    def _who(self, path: Path) -> str:
        return f"{printable(str(path))}: the layout {self.NAME} of the plugin {self.plugin}"

    def _hint(self) -> str:
        return f"Update the plugin, or disable it: {registry.VARIABLE}=-{self.plugin}."


def installed() -> tuple[PluginLayout, ...]:
    """Return the layouts of all third-party plugins, by name."""
    loaded = registry.third_party()
    return tuple(PluginLayout(layout, loaded.plugin(name).name) for name, layout in loaded.layouts.items())


def _plain_file(file: LabelledFile) -> LabelledFile:
    """Return a checked file with its fields as plain text: tables give numpy's texts, and numbers as groups."""
    return LabelledFile(
        path=plain(file.path),
        label=label_name(plain(file.label)),
        given=plain(file.given),
        group=str(plain(file.group)),
    )


def fault_of(listing: object) -> str:
    """Return what is wrong with a listing that a plugin made, "" where nothing is."""
    if not isinstance(listing, Listing):
        return f"it returned a {type(listing).__name__}, expected a Listing"
    if not isinstance(listing.root, Path) or not listing.root.is_dir():
        return f"its root {printable(str(listing.root))} is no folder"
    if not isinstance(listing.entries, Sequence):  # what can be read once only would be empty from here on
        return f"its entries are a {type(listing.entries).__name__}, expected a tuple"
    if isinstance(listing.warnings, str):
        return "its warnings are a text, expected a tuple of texts"
    labels: dict[str, str] = {}
    for file in listing.entries:
        fault = _fault_of_file(file)
        if not fault and labels.setdefault(file.path, file.label) != file.label:
            fault = f"{printable(file.path)} has two labels, {printable(labels[file.path])} and {printable(file.label)}"
        if fault:
            return fault
    return "" if listing.entries else "it lists no files"


def _fault_of_file(file: object) -> str:
    if not isinstance(file, LabelledFile):
        return f"it lists a {type(file).__name__}, expected LabelledFile"
    if not isinstance(file.path, str) or not isinstance(file.label, str) or not file.label.strip():
        return f"it lists {file!r}, expected text as path and label"
    normal = posixpath.normpath(file.path)
    if normal != file.path or normal.startswith(("/", "../")) or normal == ".." or "\\" in normal:
        return f"path {printable(file.path)} is not relative to its root, with forward slashes"
    if isinstance(plain(file.group), bool) or not isinstance(plain(file.group), str | int):
        return f"{printable(file.path)} has the group {file.group!r}, expected text"
    if file.given not in get_args(GivenSplit):
        return f"{printable(file.path)} has the split {file.given!r}, expected train, val, test or nothing"
    return ""
