"""A data set that Hugging Face `datasets` saved with `save_to_disk` (extra `hf`): Arrow files and `state.json`.

One data set, or one per split under `dataset_dict.json`. Read with pyarrow alone; image bytes are written once into the
cache. Source: the files that `datasets` writes (`dataset_info.json`, `state.json`, `data-*.arrow`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advisor.data.archives import unpacking
from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.listing import shortened, side_by_side
from advisor.data.tables import parquet, rows
from advisor.errors import DatasetError
from advisor.records.data import GivenSplit, Listing, ReadOptions
from advisor.runtime import json_records

NAME = "huggingface"


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True where a folder holds the files that `save_to_disk` writes."""
    return path.is_dir() and ((path / "dataset_dict.json").is_file() or _is_saved(path))


def read(path: Path, options: ReadOptions) -> Listing:
    """List the images of every split. Raises DatasetError where pyarrow is not installed or a file is damaged."""
    if _is_saved(path):
        return _read_split(path, "", options)
    try:
        splits = json_records.plain((path / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise parquet.damaged(path / "dataset_dict.json", error) from error
    stated = {name: names.split_of(name) for name in splits if name not in options.exclude}
    beside = names.beside_training(stated)
    listings = [_read_split(path / name, split, options) for name, split in stated.items() if name not in beside]
    if not listings:
        raise DatasetError(f"{path}: the saved data set has no split.", hint="Save it again.")
    listing = side_by_side(listings)
    notes = [f"parts beside the splits are skipped: {shortened(beside)}."] if beside else []
    return dataclasses.replace(listing, warnings=(*notes, *listing.warnings))


def _is_saved(path: Path) -> bool:
    return (path / "state.json").is_file() and (path / "dataset_info.json").is_file()


def _read_split(path: Path, split: GivenSplit, options: ReadOptions) -> Listing:
    arrow = parquet.require_pyarrow("pyarrow", path)
    try:
        files = _files(path)
        with arrow.memory_map(str(files[0])) as source:
            schema = arrow.ipc.open_stream(source).schema
        table = parquet.from_batches(
            path / "table", schema, _batches(arrow, files), lambda: split + unpacking.file_key(files)
        )
    except (OSError, IndexError, arrow.ArrowInvalid, ValueError, KeyError, TypeError, AttributeError) as error:
        raise parquet.damaged(path, error) from error
    listing = rows.listing(table, NAME, options)
    entries = tuple(dataclasses.replace(e, given=e.given or split) for e in listing.entries)
    return dataclasses.replace(listing, entries=entries)


def _files(path: Path) -> list[Path]:
    """Return the Arrow files that `state.json` lists: an earlier save may have left others.

    Raises DatasetError where one is missing; OSError, ValueError, KeyError, TypeError, AttributeError for a damaged list.
    """
    state = json_records.plain((path / "state.json").read_text(encoding="utf-8"))
    listed = [path / file["filename"] for file in state.get("_data_files", [])]
    missing = [file.name for file in listed if not file.is_file()]
    if missing:
        raise DatasetError(
            f"{printable(str(path))}: of its {len(listed)} Arrow files, {shortened(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing.",
            hint="Copy or save the data set again.",
        )
    return listed or sorted(path.glob("data-*.arrow"))


def _batches(arrow: Any, files: list[Path]) -> Iterator[Any]:
    for file in files:
        with arrow.memory_map(str(file)) as source:
            yield from arrow.ipc.open_stream(source)
