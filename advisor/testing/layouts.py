"""Rules that every layout keeps, checked on its own example, and on data that it must leave to others.

In: a layout. Out: one `Check` a rule. Does NOT cover: what the images show.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from advisor import plugin_validation
from advisor.data import images
from advisor.data.layouts import plugin_layouts
from advisor.errors import BrokenPluginError, RuleError
from advisor.hooks import Layout
from advisor.records.data import Listing, ReadOptions
from advisor.testing.checks import Check, run

_PLAIN = ReadOptions()


def check(layout: Layout) -> list[Check]:
    """Check every rule; without a right declaration or an example, the later ones are left out."""
    declared = run("declares what hooks.Layout asks for", lambda: _declared(layout))
    if not declared.passed:
        return [declared]
    with tempfile.TemporaryDirectory(prefix="tl-advise-layout-") as folder:
        empty = Path(folder) / "example"
        empty.mkdir()
        written: list[Path] = []
        example = run("writes an example", lambda: _example(layout, empty, written))
        if not example.passed:
            return [declared, example]
        path = written[0]
        rules: dict[str, Callable[[], str | None]] = {
            "recognises its example": lambda: _recognises(layout, path),
            "lists files that exist and are images, with two labels or more": lambda: _lists(layout, path),
            "reads the same twice and changes no file": lambda: _steady(layout, path, empty),
            "leaves other data to others": lambda: _modest(layout, Path(folder) / "others"),
        }
        return [declared, example, *(run(name, rule) for name, rule in rules.items())]


def _declared(layout: Layout) -> None:
    try:
        plugin_validation.layout(layout)
    except BrokenPluginError as reason:
        raise RuleError(str(reason)) from None


def _example(layout: Layout, empty: Path, written: list[Path]) -> str:
    path = Path(layout.example(empty))
    if not path.exists() or not (path == empty or empty in path.parents):
        raise RuleError(f"example() returned {path}, expected what it wrote into the folder that was given")
    written.append(path)
    return f"{sum(file.is_file() for file in empty.rglob('*'))} files"


def _recognises(layout: Layout, path: Path) -> None:
    if not layout.recognise(path, _PLAIN):
        raise RuleError("recognise() is false for its own example")


def _lists(layout: Layout, path: Path) -> str:
    listing = layout.read(path, _PLAIN)
    fault = plugin_layouts.fault_of(listing)
    if fault:
        raise RuleError(fault)
    for file in listing.entries:
        try:
            images.header(listing.root / file.path)
        except ValueError as reason:
            raise RuleError(f"{file.path}: {reason}") from None
    labels = {file.label for file in listing.entries}
    if len(labels) < 2:
        raise RuleError(f"the example has {len(labels)} label, expected two or more")
    return f"{len(listing.entries)} files, {len(labels)} labels"


def _steady(layout: Layout, path: Path, folder: Path) -> None:
    before = _contents(folder)
    listings: list[Listing] = [layout.read(path, _PLAIN) for _ in range(2)]
    if listings[0] != listings[1]:
        raise RuleError("read() returned two different listings")
    if _contents(folder) != before:
        raise RuleError("read() changed files of the data set")


def _contents(folder: Path) -> dict[str, str]:
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob("*") if f.is_file()}


def _modest(layout: Layout, folder: Path) -> None:
    """Offer an empty folder, class folders, a table and a text file: none of them is this layout's."""
    from PIL import Image

    (folder / "empty").mkdir(parents=True)
    for name in ("cat", "dog"):
        (folder / "classes" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "classes" / name / "1.png")
    (folder / "table.csv").write_text("path,label\nclasses/cat/1.png,cat\nclasses/dog/1.png,dog\n", encoding="utf-8")
    (folder / "notes.txt").write_text("no data set", encoding="utf-8")
    for name in ("empty", "classes", "table.csv", "notes.txt"):
        if layout.recognise(folder / name, _PLAIN):
            raise RuleError(f"recognise() is true for {name}, which is not of this layout")
