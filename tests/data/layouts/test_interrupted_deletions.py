"""Copies of data sets whose deletion was cut off: never used in part, whether archives were unpacked or URLs fetched."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from photographs import folder

from advisor import cli
from advisor.data import dataset
from advisor.data.archives import unpacking

IMAGES = 10


@pytest.fixture(params=["unpacked", "remote"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An archive, or the URL of a folder, with ten images in two classes."""
    folder(tmp_path / "photos", {"cat": IMAGES // 2, "dog": IMAGES // 2})
    if request.param == "unpacked":
        yield str(pack(tmp_path / "photos", tmp_path / "photos.tar"))
        return
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "photos"), "/interrupted", recursive=True)
    yield "memory://interrupted"
    store.rm("/interrupted", recursive=True)


def pack(root: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(root, arcname="photos")
    return path


def copies() -> list[Path]:
    """List the complete copies in the cache."""
    return [mark.parent for mark in Path(os.environ["TL_ADVISE_CACHE"]).glob(f"*/*/{unpacking.MARK}")]


def killed_after(deletions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process end after so many files were deleted: what no clean-up catches stands for the kill."""
    real = os.unlink
    left = iter(range(deletions))

    def unlink(*arguments: object, **options: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", unlink)


@pytest.mark.parametrize("deletions", [0, 1, IMAGES // 2, IMAGES])
def test_a_copy_is_whole_after_a_deletion_that_was_cut_off(
    source: str, deletions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the kill hits, the next use has all images; and the next clearing deletes what the kill left."""
    assert len(dataset.read(source).items) == IMAGES
    with monkeypatch.context() as patch:
        killed_after(deletions, patch)
        with pytest.raises(KeyboardInterrupt):
            unpacking.clear()
    assert len(dataset.read(source).items) == IMAGES
    assert len(copies()) == 1
    cli.run(["cache", "clear"])
    assert not list(Path(os.environ["TL_ADVISE_CACHE"]).rglob("*.jpg"))


def test_what_an_older_version_left_is_replaced(source: str) -> None:
    """A folder without its mark, with a part of its images, makes room for a whole one."""
    dataset.read(source)
    (copy,) = copies()
    (copy / unpacking.MARK).unlink()
    next(copy.rglob("*.jpg")).unlink()
    assert len(dataset.read(source).items) == IMAGES
    assert copies() == [copy]


def test_clearing_leaves_what_is_being_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that is just unpacking would call a folder complete that has lost its first images."""
    folder(tmp_path / "photos", {"cat": IMAGES // 2, "dog": IMAGES // 2})
    path = pack(tmp_path / "photos", tmp_path / "photos.tar")
    write, written = unpacking.write, []

    def writing(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        written.append(arguments)
        if len(written) == IMAGES // 2:
            unpacking.clear()

    monkeypatch.setattr(unpacking, "write", writing)
    assert len(dataset.read(path).items) == IMAGES


@pytest.mark.parametrize("content", ["", "null", "[]", "{}"])
def test_a_copy_with_a_damaged_mark_is_used_listed_and_cleared(source: str, content: str) -> None:
    """What a crash left in the mark costs nothing: the folder was whole before it got its name."""
    assert dataset.read(source).skipped == 0
    (copy,) = copies()
    (copy / unpacking.MARK).write_text(content)
    assert len(dataset.read(source).items) == IMAGES
    (copy / unpacking.MARK).write_text(content)
    (entry,) = unpacking.copies()
    assert entry.bytes > 0
    assert unpacking.given(copy / "a.jpg")
    assert cli.run(["cache", "clear"]) == 0
    assert not copy.exists()
