"""`tl-advise cache` as a person calls it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from photographs import folder

from advisor import cli
from advisor.data import dataset
from advisor.runtime import cache


def test_entries_are_listed_with_size_and_cap(capsys: pytest.CaptureFixture[str]) -> None:
    """What is cached, how much, since when; the total, the limit and the folder; with --all, what it was made from."""
    cache.Store().keep({"kind": "pixels", "size_px": 224}, np.zeros(1000))
    for words in (["cache"], ["cache", "list"]):
        assert cli.run([*words, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["entries"]) == 1
        assert cli.run(words) == 0
        text = capsys.readouterr().out
        assert "pixels" in text
        assert "8.1 kB" in text
        assert "decoded images" in text
        assert str(cache.default_dir()) in text
    assert cli.run(["cache", "list", "--all"]) == 0
    assert "size_px 224" in capsys.readouterr().out
    assert cli.run(["cache", "list", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["bytes"] == 8128
    assert printed["cap_bytes"] > 0
    assert printed["entries"][0]["fields"] == {"kind": "pixels", "size_px": 224}


def test_clearing_says_what_was_freed(capsys: pytest.CaptureFixture[str]) -> None:
    """All, or one kind; a kind that is not there is refused with those that are."""
    cache.Store().keep({"kind": "pixels"}, np.zeros(1000))
    cache.Store().keep({"kind": "features"}, np.zeros(10))
    assert cli.run(["cache", "clear", "--kind", "pixel"]) == 2
    assert "it holds features, pixels" in capsys.readouterr().err
    assert cli.run(["cache", "clear", "--kind", "pixels"]) == 0
    assert "Freed 8.1 kB" in capsys.readouterr().out
    assert [entry.kind for entry in cache.Store().entries()] == ["features"]
    assert cli.run(["cache", "clear"]) == 0
    assert cache.Store().entries() == ()


def test_an_empty_cache_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing kept yet: said so, with the place; nothing is created by looking."""
    assert cli.run(["cache"]) == 0
    assert "Empty" in capsys.readouterr().out
    assert not Path(cache.Store().directory).exists()


def test_copies_of_data_sets_are_listed_and_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unpacked archive counts, with its size; clearing its kind deletes it and nothing else."""
    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in (tmp_path / "photos").rglob("*.jpg"):
            archive.write(file, file.relative_to(tmp_path))
    dataset.read(tmp_path / "photos.zip")
    cache.Store().keep({"kind": "features"}, np.zeros(10))
    assert cli.run(["cache"]) == 0
    assert "archives and shards, unpacked" in capsys.readouterr().out
    assert cli.run(["cache", "clear", "--kind", "unpacked data"]) == 0
    assert "Freed" in capsys.readouterr().out
    assert not list((cache.default_dir() / "unpacked").glob("*/*"))
    assert [entry.kind for entry in cache.Store().entries()] == ["features"]
