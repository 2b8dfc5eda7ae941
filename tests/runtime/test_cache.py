"""The store: whole entries or none, bounded, found by every fact that shaped them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import CacheFullError, InputError
from advisor.runtime import cache, weight_folders


@pytest.fixture
def store(tmp_path: Path) -> cache.Store:
    """A store that takes 10,000 bytes."""
    return cache.Store(tmp_path / "store", cap_bytes=10_000)


def test_what_is_kept_is_found_again(store: cache.Store) -> None:
    """An array and its notes come back as they were, mapped and read-only; other facts find nothing."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    stored = store.keep({"kind": "features", "layer": 2}, array, notes=[1, "two"])
    again = store.array({"layer": 2, "kind": "features"})
    assert again is not None
    for returned in (stored, again):
        assert np.array_equal(returned, array)
        assert returned.dtype == np.float32
        assert not returned.flags.writeable
    assert store.notes({"kind": "features", "layer": 2}) == [1, "two"]
    assert store.array({"kind": "features", "layer": 3}) is None
    assert store.notes({"kind": "features", "layer": 3}) is None


@given(
    facts=st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.floats(allow_nan=False)), max_size=4
    ),
    name=st.text(max_size=5),
    value=st.one_of(st.integers(), st.text(max_size=5), st.booleans()),
)
def test_any_change_of_a_fact_changes_the_key(facts: dict[str, object], name: str, value: object) -> None:
    """Adding or changing a field misses; the order of fields does not matter."""
    changed = {**facts, name: value}
    same = name in facts and repr(facts[name]) == repr(value)
    assert (cache.key(changed) == cache.key(facts)) == same
    assert cache.key(dict(reversed(list(facts.items())))) == cache.key(facts)


def test_blocks_are_written_one_after_another(store: cache.Store) -> None:
    """An array that comes in blocks is the same array."""
    array = np.random.default_rng(0).integers(0, 9, (7, 5))
    blocks = (array[i : i + 2] for i in range(0, 7, 2))
    assert np.array_equal(store.keep_rows({"a": 1}, blocks, array.shape, array.dtype), array)


def test_what_fails_half_way_leaves_nothing(store: cache.Store) -> None:
    """An error inside the blocks or the writer passes through; no entry and no temporary file stays."""

    def blocks() -> object:
        yield np.zeros((1, 4))
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        store.keep_rows({"a": 1}, blocks(), (2, 4), np.float64)  # type: ignore[arg-type]

    def write(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        store.put({"a": 2}, write)
    assert not store.entries()
    assert not list(store.directory.glob("tmp/*"))


def test_what_shall_not_last_is_returned_and_not_kept(store: cache.Store) -> None:
    """An array can be used once without becoming an entry."""
    array = np.arange(6.0).reshape(2, 3)
    returned = store.keep_rows({"a": 1}, iter((array,)), (2, 3), np.float64, lasting=lambda: False)
    assert np.array_equal(returned, array)
    assert store.array({"a": 1}) is None
    assert not list(store.directory.glob("tmp/*"))


def test_files_of_any_form_can_be_put(store: cache.Store) -> None:
    """A writer's bytes come back at the path; what was reserved beyond them is cut off."""
    path = store.put({"kind": "weights"}, lambda stream: stream.write(b"abc") and None, size_bytes=4096)
    assert path.read_bytes() == b"abc"
    assert store.get({"kind": "weights"}) == path


@pytest.mark.parametrize(
    "damage", ["cut", "grown", "gone", "facts cut", "facts gone", "facts deep", "facts odd", "header"]
)
def test_a_damaged_entry_is_no_entry(store: cache.Store, damage: str) -> None:
    """A file of another size, a missing file, unreadable facts: a miss, and writing it again heals it."""
    fields = {"kind": "x"}
    store.keep(fields, np.ones(100))
    path = store.entries()[0].path
    if damage == "cut":
        os.truncate(path, 300)
    elif damage == "grown":
        with open(path, "ab") as stream:
            stream.write(b"more")
    elif damage == "gone":
        path.unlink()
    elif damage == "facts deep":
        path.with_suffix(".json").write_text("[" * 100_000)
    elif damage == "facts odd":
        path.with_suffix(".json").write_text('{"fields": [], "bytes": 928, "notes": null}')
    elif damage == "header":
        path.write_bytes(path.read_bytes().replace(b"}", b" "))
    elif damage == "facts cut":
        path.with_suffix(".json").write_text('{"bytes": 1')
    else:
        path.with_suffix(".json").unlink()
    assert store.array(fields) is None
    store.keep(fields, np.ones(100))
    assert store.array(fields) is not None


def test_the_least_recently_used_make_room(store: cache.Store) -> None:
    """The cap is kept; what was read last stays."""
    for number in range(4):
        store.keep({"n": number}, np.zeros(250))
        os.utime(store.entries()[0].path, (time.time() - 100 + number,) * 2)
    store.get({"n": 0})
    store.keep({"n": 4}, np.zeros(500))
    assert store.used_bytes() <= 10_000
    assert {entry.fields["n"] for entry in store.entries()} == {0, 3, 4}


def test_an_evicted_array_stays_readable_where_it_is_mapped(store: cache.Store) -> None:
    """Making room does not pull the ground from under a process that has the file open."""
    stored = store.keep({"n": 0}, np.arange(900.0))
    store.keep({"n": 1}, np.zeros(900))
    assert store.array({"n": 0}) is None
    assert stored.sum() == 899 * 450


def test_more_than_the_cap_is_refused(store: cache.Store) -> None:
    """An entry that could never fit is refused before anything is evicted."""
    store.keep({"n": 0}, np.zeros(10))
    with pytest.raises(CacheFullError, match="at most"):
        store.keep({"n": 1}, np.zeros(5000))
    assert store.array({"n": 0}) is not None


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where the cache should be: CacheFullError with the place and the reason; the lock goes on without."""
    (tmp_path / "file").write_text("x")
    store = cache.Store(tmp_path / "file" / "store", cap_bytes=1000)
    with pytest.raises(CacheFullError, match="cannot be written"):
        store.keep({"n": 0}, np.zeros(3))
    with store.lock({"n": 0}):
        pass
    assert store.array({"n": 0}) is None
    assert store.entries() == ()


def test_one_at_a_time_holds_an_entry(store: cache.Store) -> None:
    """The lock of an entry excludes others from it, and from it only."""
    order: list[str] = []

    def second() -> None:
        with store.lock({"n": 0}):
            order.append("second")

    with store.lock({"n": 0}):
        thread = threading.Thread(target=second)
        thread.start()
        with store.lock({"n": 1}):
            order.append("other")
        time.sleep(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["other", "first", "second"]


def test_clearing_frees_all_or_one_kind(store: cache.Store) -> None:
    """clear() says how many bytes it freed; a kind limits it."""
    store.keep({"kind": "pixels"}, np.zeros(10))
    store.keep({"kind": "features"}, np.zeros(20))
    sizes = {entry.kind: entry.bytes for entry in store.entries()}
    assert store.clear("pixels") == sizes["pixels"]
    assert [entry.kind for entry in store.entries()] == ["features"]
    assert store.clear() == sizes["features"]
    assert store.used_bytes() == 0


def test_the_place_is_the_users_cache_or_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TL_ADVISE_CACHE moves the cache; without it the platform's place is taken."""
    monkeypatch.setenv("TL_ADVISE_CACHE", str(tmp_path / "mine"))
    assert cache.Store().directory == tmp_path / "mine" / "store"
    monkeypatch.delenv("TL_ADVISE_CACHE")
    assert cache.default_dir().name == "tl-advise"
    assert 0 < cache.Store(tmp_path / "new").cap_bytes <= cache.CAP_BYTES


def test_a_user_without_a_home_has_a_cache_below_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs under a bare number: no folder called ~ is made, and nobody else's is used."""
    monkeypatch.delenv("TL_ADVISE_CACHE")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"~/.cache/{name}")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache.default_dir() == tmp_path / f"tl-advise-{os.getuid()}"
    assert tmp_path / f"tl-advise-{os.getuid()}" / "weights" in weight_folders.search_path("~/own")
    (tmp_path / "tl-advise-99999").mkdir()
    monkeypatch.setattr("os.getuid", lambda: 99999)
    with pytest.raises(InputError, match="belongs to somebody else"):
        cache.default_dir()
