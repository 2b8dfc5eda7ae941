"""The search for crops and mirror images is done once for the same images, unless a limit cut it short."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import photo, save

from advisor.cli import run
from advisor.data import dataset, profile
from advisor.data.duplicates import WHOLE_SEARCH
from advisor.data.similarity.crops import Extent
from advisor.runtime import cache

SIZE = (120, 96)
COPIES = 4


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten photographs in two classes, and crops of four of them."""
    for number in range(10):
        save(photo(number, SIZE), tmp_path / "ab"[number % 2] / f"{number}.jpg")
    for number in range(COPIES):
        save(photo(number, SIZE).crop((0, 10, 120, 96)), tmp_path / "ab"[number % 2] / f"{number}-crop.jpg")
    return tmp_path


def searched(root: Path, extent: Extent = WHOLE_SEARCH) -> tuple[bool, int]:
    """Return whether a search was reported, and how many sets were found."""
    heard: list[str] = []
    decoded = profile.decode(dataset.read(root), store=cache.Store(), extent=extent, stage=heard.append)
    return heard == ["looking for crops and mirror images"], len(decoded.similar)


def test_a_second_run_does_not_search(photos: Path) -> None:
    """It finds the same; another image, and a cleared cache, are searched for again."""
    assert searched(photos) == (True, COPIES)
    assert searched(photos) == (False, COPIES)
    save(photo(4, SIZE).crop((8, 6, 120, 96)), photos / "a" / "another.jpg")
    assert searched(photos) == (True, COPIES + 1)
    assert searched(photos) == (False, COPIES + 1)
    cache.Store().clear("similar images")
    assert searched(photos) == (True, COPIES + 1)


@pytest.mark.parametrize(("extent", "sets"), [(Extent(most_pairs=2), 2), (Extent(parts=False), 0)])
def test_a_search_that_was_cut_short_is_not_kept(photos: Path, extent: Extent, sets: int) -> None:
    """Nor does a whole one answer for it: what is in the cache changes no result."""
    assert searched(photos, extent) == (True, sets)
    assert searched(photos, extent) == (True, sets)
    assert searched(photos) == (True, COPIES)
    assert searched(photos) == (False, COPIES)
    assert searched(photos, extent) == (True, sets)
    assert searched(photos, Extent(most_pairs=COPIES + 10)) == (False, COPIES)


def test_small_images_are_not_searched_and_nothing_is_said_or_kept(tmp_path: Path) -> None:
    """Below 80 pixels there is no search."""
    for number in range(6):
        save(photo(number, (64, 64)), tmp_path / "ab"[number % 2] / f"{number}.jpg")
    assert searched(tmp_path) == (False, 0)
    assert all(entry.kind != "similar images" for entry in cache.Store().entries())


def test_the_cache_command_says_what_it_is(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`inspect --deep` leaves it, `cache` lists it, and `cache clear` deletes it alone."""
    assert run(["inspect", str(photos), "--deep", "--json"]) == 0
    capsys.readouterr()
    assert run(["cache"]) == 0
    assert "which images are crops or mirror images of others" in " ".join(capsys.readouterr().out.split())
    assert run(["cache", "clear", "--kind", "similar images"]) == 0
    assert searched(photos)[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"pairs": 3, "aligned": 1}', b'{"pairs": [[0, 99, false]], "aligned": 1}'],
)
def test_a_damaged_entry_is_searched_for_again(photos: Path, content: bytes) -> None:
    """A file that was cut, and one of the right size that holds something else, rows that there are not included."""
    assert searched(photos) == (True, COPIES)
    (entry,) = [entry for entry in cache.Store().entries() if entry.kind == "similar images"]
    entry.path.write_bytes(content)
    assert searched(photos) == (True, COPIES)
    entry.path.write_bytes(content.ljust(entry.bytes))
    assert searched(photos) == (True, COPIES)
    assert searched(photos) == (False, COPIES)
