"""Canvases of pixels: decoded once, cached, copied for other lists, and the same whoever decodes them."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from photographs import folder, jpeg

from advisor.data import dataset, pixels
from advisor.records import Dataset
from advisor.runtime import cache

RULE = pixels.PixelRule(24, 28)


def kept(store: cache.Store) -> list[cache.CacheEntry]:
    return [entry for entry in store.entries() if entry.kind == "pixels"]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Forty small photographs in two classes."""
    return dataset.read(folder(tmp_path / "data", {"cat": 20, "dog": 20}), test_split="none")


def test_cached_and_uncached_pixels_agree(data: Dataset) -> None:
    """With a store, without one, and on the second look: the same bits, read-only."""
    store = cache.Store()
    plain, _ = pixels.canvas(data.root, data.items, RULE, store=None)
    first, _ = pixels.canvas(data.root, data.items, RULE, store=store)
    second, _ = pixels.canvas(data.root, data.items, RULE, store=store)
    assert plain.shape == (40, 28, 28, 3)
    for array in (plain, first, second):
        assert array.dtype == np.uint8
        assert not array.flags.writeable
        assert np.array_equal(array, plain)
    assert isinstance(second, np.memmap)
    for row in (0, 33):
        assert np.array_equal(plain[row], pixels.decode(Path(data.root) / data.items[row].path, RULE))


def test_pixels_do_not_depend_on_the_number_of_threads(data: Dataset) -> None:
    """One thread or seven: the same bits in the same order."""
    arrays = [pixels.canvas(data.root, data.items, RULE, store=None, threads=n)[0] for n in (1, 7)]
    assert np.array_equal(*arrays)


@pytest.mark.parametrize(
    "change",
    [{"size_px": 26}, {"resize_px": 30}, {"interpolation": "bicubic"}, {"fit": "squash"}, {"draft": True}],
)
def test_every_part_of_the_rule_is_part_of_the_key(data: Dataset, change: dict[str, object]) -> None:
    """Another rule never meets the pixels of this one."""
    other = dataclasses.replace(RULE, **change)
    assert cache.key(pixels.key_fields(data.items, other)) != cache.key(pixels.key_fields(data.items, RULE))


def test_contents_and_their_order_are_part_of_the_key(data: Dataset) -> None:
    """Other bytes, another order, fewer items miss; another name or label does not."""
    items = list(data.items)
    here = cache.key(pixels.key_fields(items, RULE))
    renamed = [dataclasses.replace(i, path="x/" + i.path, label=0) for i in items]
    assert cache.key(pixels.key_fields(renamed, RULE)) == here
    changed = [dataclasses.replace(items[0], sha256="0" * 64), *items[1:]]
    for others in (changed, items[::-1], items[1:]):
        assert cache.key(pixels.key_fields(others, RULE)) != here


def test_unreadable_items_are_zeros_and_listed(data: Dataset) -> None:
    """A truncated file leaves a row of zeros and a reason, on the first look and from the cache."""
    path = Path(data.root) / data.items[5].path
    path.write_bytes(path.read_bytes()[:-300])
    data_set = dataset.read(data.root, test_split="none")
    for _ in range(2):
        array, broken = pixels.canvas(data_set.root, data_set.items, RULE, store=cache.Store())
        assert [(u.path, u.reason[:9]) for u in broken] == [(data_set.items[5].path, "truncated")]
        assert not array[5].any()
        assert array[[4, 6]].any()


@pytest.mark.parametrize("fault", ["changed", "missing"])
def test_files_that_changed_are_set_aside_and_not_kept(data: Dataset, fault: str) -> None:
    """Bytes that are not those that were hashed never enter the cache; put back, the file is read again."""
    path = Path(data.root) / data.items[7].path
    content = path.read_bytes()
    if fault == "changed":
        path.write_bytes(jpeg((48, 40), 99))
    else:
        path.unlink()
    store = cache.Store()
    array, broken = pixels.canvas(data.root, data.items, RULE, store=store)
    assert [u.path for u in broken] == [data.items[7].path]
    assert fault in broken[0].reason or "not found" in broken[0].reason
    assert not array[7].any()
    assert array[8].any()
    assert not store.entries()
    path.write_bytes(content)
    array, broken = pixels.canvas(data.root, data.items, RULE, store=store)
    assert array[7].any()
    assert not broken


def test_one_photo_more_costs_one_photo(data: Dataset) -> None:
    """Contents that another list's cache holds under the same rule are copied; a new file alone is read."""
    store = cache.Store()
    pixels.canvas(data.root, data.items, RULE, store=store)
    added = Path(data.root) / "cat" / "new.jpg"
    added.write_bytes(jpeg((48, 40), 77))
    for item in data.items[:10]:
        (Path(data.root) / item.path).unlink()  # so that reading them again would be noticed
    more = [*data.items[5:], dataclasses.replace(data.items[0], path="cat/new.jpg", sha256=digest(added))]
    array, broken = pixels.canvas(data.root, more, RULE, store=store)
    assert not broken
    assert np.array_equal(array[:-1], store.array(pixels.key_fields(data.items, RULE))[5:])
    assert np.array_equal(array[-1], pixels.decode(added, RULE))
    _, broken = pixels.canvas(data.root, more, dataclasses.replace(RULE, resize_px=30), store=store)
    assert len(broken) == 5  # another rule has nothing to copy from


def test_rows_that_could_not_be_decoded_are_not_copied(data: Dataset) -> None:
    """A broken file is looked at again in another list, and listed there as well."""
    path = Path(data.root) / data.items[5].path
    path.write_bytes(path.read_bytes()[:-300])
    data_set = dataset.read(data.root, test_split="none")
    for items in (data_set.items, data_set.items[3:]):
        _, broken = pixels.canvas(data_set.root, items, RULE, store=cache.Store())
        assert [u.path for u in broken] == [data_set.items[5].path]


def test_a_cache_file_that_was_cut_is_made_anew(data: Dataset) -> None:
    """A stored file of another size than it was written with is not mapped."""
    store = cache.Store()
    expected = np.array(pixels.canvas(data.root, data.items, RULE, store=store)[0])
    os.truncate(kept(store)[0].path, 5000)
    again, _ = pixels.canvas(data.root, data.items, RULE, store=store)
    assert np.array_equal(again, expected)
    assert kept(store)[0].bytes > 5000


def test_a_cache_that_cannot_take_it_is_done_without(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    """A cap that is too small ends in decoding into memory, with a warning, and the same bits."""
    with caplog.at_level(logging.WARNING):
        array, _ = pixels.canvas(data.root, data.items, RULE, store=cache.Store(cap_bytes=1000))
    assert "decoded into memory" in caplog.text
    assert np.array_equal(array, pixels.canvas(data.root, data.items, RULE, store=None)[0])


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from advisor.data import dataset, pixels
from advisor.runtime import cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
found = dataset.read(sys.argv[1], test_split="none")
array, _ = pixels.canvas(found.root, found.items, pixels.PixelRule(24, 28), store=cache.Store(sys.argv[2]))
np.save(sys.argv[3], array[:3])
assert not cache.Store(sys.argv[2]).entries()
assert not list(Path(sys.argv[2]).glob("tmp/*"))
"""


def test_a_full_disk_is_survived(data: Dataset, tmp_path: Path) -> None:
    """Where the space cannot be reserved, nothing half-written stays and the images are decoded into memory."""
    out = tmp_path / "out.npy"
    command = [sys.executable, "-c", FULL, data.root, str(tmp_path / "store"), str(out)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "disk is full" in run.stderr
    assert np.array_equal(np.load(out), pixels.canvas(data.root, data.items[:3], RULE, store=None)[0])


SCRIPT = """
import hashlib, sys
from advisor.data import dataset, pixels
from advisor.runtime import cache
found = dataset.read(sys.argv[1], test_split="none")
seen = []
array, _ = pixels.canvas(found.root, found.items, pixels.PixelRule(24, 28), store=cache.Store(sys.argv[2]),
                         progress=lambda done, total: (seen.append(done), print("at", done, flush=True)))
print("decoded" if seen else "mapped", hashlib.sha256(array.tobytes()).hexdigest(), flush=True)
"""


def test_two_processes_decode_once(data: Dataset, tmp_path: Path) -> None:
    """Two processes that want the same pixels at the same time get the same bits, and one of them decodes."""
    command = [sys.executable, "-c", SCRIPT, data.root, str(tmp_path / "store")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    words = [process.communicate(timeout=60)[0].split()[-2:] for process in both]
    assert sorted(word for word, _ in words) == ["decoded", "mapped"]
    assert len({digest for _, digest in words}) == 1
    assert len(kept(cache.Store(tmp_path / "store"))) == 1


def test_a_kill_half_way_leaves_nothing_that_hurts(tmp_path: Path) -> None:
    """After SIGKILL in the middle no entry exists, the next process is not blocked, and what was left is swept."""
    root = folder(tmp_path / "data", {"cat": 150, "dog": 150}, size=(200, 160))
    store = cache.Store(tmp_path / "store")
    command = [sys.executable, "-c", SCRIPT, str(root), str(store.directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("at")
    process.kill()
    process.wait()
    process.stdout.close()
    assert not store.entries()
    files = list(store.directory.glob("tmp/*"))
    assert files
    os.utime(files[0], (time.time() - 3600, time.time() - 3600))
    data_set = dataset.read(root, test_split="none")
    array, broken = pixels.canvas(data_set.root, data_set.items, RULE, store=store)
    assert not broken
    assert array[-1].any()
    assert not list(store.directory.glob("tmp/*"))


def test_progress_counts_images(data: Dataset) -> None:
    """The caller hears rising counts up to all images; a stored canvas needs none."""
    heard: list[tuple[int, int]] = []
    store = cache.Store()
    pixels.canvas(data.root, data.items, RULE, store=store, progress=lambda n, of: heard.append((n, of)))
    assert heard == [(32, 40), (40, 40)]
    pixels.canvas(data.root, data.items, RULE, store=store, progress=lambda n, of: heard.append((n, of)))
    assert len(heard) == 2


def test_no_items_make_an_empty_canvas(data: Dataset) -> None:
    """Nothing to decode is not an error."""
    array, broken = pixels.canvas(data.root, (), RULE, store=cache.Store())
    assert array.shape == (0, 28, 28, 3)
    assert broken == ()
