"""A plugin's layout cannot harm a reading: whatever it does wrong is one line that names it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from distributions import install
from photographs import folder

from advisor import registry, testing
from advisor.data import dataset
from advisor.data.layouts.registry import LAYOUTS
from advisor.errors import PluginError
from advisor.plugin_validation import BUILT_IN_LAYOUTS

SOURCE = """
from advisor.hooks import LabelledFile, Listing, hookimpl

class Odd:
    name = {name!r}
    def recognise(self, path, options):
        return (path / "odd").exists()
    def read(self, path, options):
        {read}
    def example(self, folder):
        return folder

@hookimpl
def advisor_layouts():
    return [Odd()]
"""


@pytest.fixture(name="site")
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path in which distributions can be installed."""
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    sys.modules.pop("odd_layout", None)


def odd(site: Path, read: str = "return 3", name: str = "odd") -> None:
    """Install a plugin with one layout."""
    install(site, "odd-layouts", {"odd": "odd_layout"}, {"odd_layout": SOURCE.format(read=read, name=name)})


@pytest.mark.parametrize(
    ("read", "part"),
    [
        ("return 3", "returned a int, expected a Listing"),
        ("raise ValueError('no such thing')", "failed: ValueError: no such thing"),
        ("raise SystemExit(3)", "failed: SystemExit"),
        ("return Listing(root=path, layout='odd', entries=())", "lists no files"),
        (
            "return Listing(root=path, layout='odd', entries=(LabelledFile(path=n, label='a') for n in 'xy'))",
            "its entries are a generator, expected a tuple",
        ),
        (
            "return Listing(root=path, layout='odd', entries=(LabelledFile(path='x', label='a'),), warnings='old')",
            "its warnings are a text, expected a tuple",
        ),
        ("return Listing(root=path, layout='odd', entries=(LabelledFile(path='../x', label='a'),))", "not relative"),
        ("return Listing(root=path, layout='odd', entries=(LabelledFile(path='x', label=' '),))", "text as path"),
        ("return Listing(root=path, layout='odd', entries=(LabelledFile(path='x', label='a', given='dev'),))", "split"),
        ("return Listing(root=str(path), layout='odd', entries=())", "is no folder"),
        (
            "return Listing(root=path, layout='odd', entries=(LabelledFile(path='x', label='a', group=float('nan')),))",
            "has the group nan, expected text",
        ),
        (
            "return Listing(root=path, layout='odd', entries=tuple(LabelledFile(path='x', label=i) for i in 'ab'))",
            "two labels",
        ),
    ],
)
def test_a_layout_at_fault_is_named_in_one_line(read: str, part: str, site: Path, tmp_path: Path) -> None:
    """The line names the path, the layout and the plugin, and how to disable it."""
    odd(site, read)
    folder(tmp_path / "data", {"cat": 3, "dog": 3})
    (tmp_path / "data" / "odd").write_text("")
    with pytest.raises(PluginError) as caught:
        dataset.read(tmp_path / "data")
    assert part in caught.value.what
    assert "the layout odd of the plugin odd" in caught.value.what
    assert "TL_ADVISE_PLUGINS=-odd" in caught.value.hint


NUMPY_LISTING = """import numpy as np
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*.jpg"))
        entries = tuple(
            LabelledFile(path=np.str_(n), label=np.str_(n[:3]), group=np.int64(i // 2)) for i, n in enumerate(names)
        )
        return Listing(root=path, layout="odd", entries=entries, skipped=np.int64(1), skipped_suffixes={".x": np.int64(1)})
"""


def test_numpy_values_of_a_layout_become_plain_ones(site: Path, tmp_path: Path) -> None:
    """A table's labels and groups are written down with the run, as JSON."""
    odd(site, NUMPY_LISTING)
    folder(tmp_path / "data", {"cat": 4, "dog": 4})
    (tmp_path / "data" / "odd").write_text("")
    data_set = dataset.read(tmp_path / "data")
    assert {item.group for item in data_set.items} == {"0", "1", "2", "3"}
    assert msgspec.json.decode(msgspec.json.encode([data_set.items, data_set.classes, data_set.skipped_suffixes]))


def test_other_data_are_read_as_before(site: Path, tmp_path: Path) -> None:
    """Data that the layout does not recognise are read by the built-in ones; a disabled plugin is not asked."""
    odd(site, "raise ValueError('never')")
    folder(tmp_path / "data", {"cat": 3, "dog": 3})
    assert dataset.read(tmp_path / "data").layout == "folders"


def test_a_disabled_plugin_is_not_asked(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TL_ADVISE_PLUGINS=-odd disables its layout too."""
    odd(site)
    folder(tmp_path / "data", {"cat": 3, "dog": 3})
    (tmp_path / "data" / "odd").write_text("")
    monkeypatch.setenv(registry.VARIABLE, "-odd")
    assert dataset.read(tmp_path / "data").layout == "folders"


def test_the_names_of_built_in_layouts_are_taken(site: Path) -> None:
    """A plugin that calls its layout like a built-in one is disabled with that reason."""
    assert {layout.NAME for layout in LAYOUTS} == BUILT_IN_LAYOUTS
    odd(site, name="folders")
    info = next(p for p in registry.load().plugins if p.name == "odd")
    assert info.broken == "layout folders: the name is that of a built-in layout"


def test_the_kit_finds_a_layout_that_takes_everything(site: Path) -> None:
    """A layout that recognises all data, or none of its own, does not pass."""
    odd(site, "return Listing(root=path, layout='odd', entries=())")
    layout = registry.load().layouts["odd"]
    failed = {check.name for check in testing.check_layout(layout) if not check.passed}
    assert "recognises its example" in failed

    class Greedy(type(layout)):  # type: ignore[misc]
        def recognise(self, path: Path, options: object) -> bool:
            return True

    assert "leaves other data to others" in {c.name for c in testing.check_layout(Greedy()) if not c.passed}
