"""Keep what a search for crops and mirror images found, so that the next run on the same images does not search again.

In: the images, how they are decoded, how far may be searched. Out: pairs of rows. Kept by the images' contents in order, the
decoder and the version of the search (`crops.CODE`). A search that a limit cut short is never kept, and one that is kept
serves only where a search would find just the same: with or without it a run makes the same splits. Does NOT cover:
the search (`crops`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

from advisor.data import pixels
from advisor.data.similarity.crops import CODE, Extent, Search
from advisor.errors import CacheFullError
from advisor.records import Item
from advisor.runtime import json_records

if TYPE_CHECKING:
    from advisor.runtime.cache import Store

KIND = "similar images"  # as `tl-advise cache` lists it


def pairs(
    store: Store | None,
    items: Sequence[Item],
    rule: pixels.PixelRule,
    extent: Extent,
    search: Callable[[], tuple[Search, bool]],
) -> tuple[tuple[int, int, bool], ...]:
    """Return (whole, part, mirrored) rows of `items`, from the store or from `search`.

    `search` also returns whether all images could be read: what is found without some of them is not kept.
    """
    if store is None:
        return search()[0].pairs
    fields = _fields(items, rule)
    with store.lock(fields):
        stored = _stored(store, fields, len(items))
        if stored is not None and stored.is_whole(extent):
            return stored.pairs
        result, all_read = search()
        if all_read and result.is_whole(extent):
            text = json.dumps({"pairs": result.pairs, "aligned": result.aligned}).encode()

            def write(stream: IO[bytes]) -> None:
                stream.write(text)

            with contextlib.suppress(CacheFullError):  # then the next run searches again
                store.put(fields, write)
        return result.pairs


def _fields(items: Sequence[Item], rule: pixels.PixelRule) -> dict[str, Any]:
    decoded = pixels.key_fields(items, rule)
    return {**decoded, "kind": KIND, "code": CODE, "pixels": decoded["code"]}


def _stored(store: Store, fields: dict[str, Any], images: int) -> Search | None:
    """Return what is stored; None where there is nothing, or what is there cannot be what a search found."""
    path = store.get(fields)
    if path is None:
        return None
    try:
        facts = json_records.plain(path.read_text(encoding="utf-8"))
        listed = tuple((int(i), int(j), bool(mirrored)) for i, j, mirrored in facts["pairs"])
        aligned = int(facts["aligned"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    in_range = all(0 <= row < images for i, j, _ in listed for row in (i, j))
    return Search(pairs=listed, parts=True, aligned=aligned) if in_range else None
