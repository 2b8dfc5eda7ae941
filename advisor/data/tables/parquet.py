"""Parquet (extra `parquet`) -> `Table`: paths, or the images' bytes, which are written once into the cache.

Image bytes lie in a binary column, or in a structure of `bytes` and `path` as Hugging Face writes it. Names of integer
classes are taken from the Hugging Face features in the file's metadata where they are stated.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from advisor.data.archives import unpacking
from advisor.data.images import printable
from advisor.data.tables import columns
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError
from advisor.runtime import json_records

SUFFIXES = (".parquet",)
_IMAGE_COLUMNS = ("image", "img", "bytes", "image_bytes", "content")


def read(path: Path) -> Table:
    """Read a Parquet file. Raises DatasetError where pyarrow is not installed or the file is damaged."""
    return read_shards([path])


def read_shards(paths: Sequence[Path], split: str = "") -> Table:
    """Read Parquet files as one table, that of the first one's name; `split` separates equal files of several splits.

    Raises DatasetError where pyarrow is not installed or a file is damaged.
    """
    parquet = require_pyarrow("pyarrow.parquet", paths[0])
    reading = paths[0]

    def batches() -> Iterator[Any]:
        nonlocal reading
        for reading in paths:
            yield from parquet.ParquetFile(reading).iter_batches(batch_size=256)

    try:
        schema = parquet.ParquetFile(reading).schema_arrow
        return from_batches(paths[0], schema, batches(), lambda: split + unpacking.file_key(paths))
    except DatasetError:
        raise
    except Exception as error:  # pyarrow raises its own errors, OSError and ValueError for damaged files
        raise damaged(reading, error) from error


def from_batches(path: Path, schema: Any, batches: Iterable[Any], key: Any) -> Table:
    """Build a table from Arrow record batches; image bytes are written into the cache folder named by `key()`.

    Raises DatasetError where no column could be the label.
    """
    image = _image_column(schema)
    names = [name for name in schema.names if name != image]
    classes = _class_names(schema)
    stated = [name for name in names if name in classes]
    label = stated[0] if len(stated) == 1 else None
    batches = iter(batches)
    first = next(batches, None)
    batches = itertools.chain([first] if first is not None else [], batches)
    if image is None or _holds_paths(first, image):
        records = [record for batch in batches for record in batch.to_pylist()]
        rows = _rows(records, schema.names, classes, None)
        return Table(path=path, names=schema.names, rows=rows, label_column=label)
    if not names:
        raise DatasetError(f"{printable(str(path))}: no label column ({', '.join(schema.names)}).", hint=columns.FORM)
    limits = unpacking.UnpackingLimits(printable(str(path)))
    lines: list[tuple[int, list[str]]] = []

    def fill(folder: Path) -> None:
        files: list[str] = []
        for batch in batches:
            records = batch.to_pylist()
            for record in records:
                content, stated = _content(record[image])
                files.append(f"{len(files):07d}{_suffix(stated)}")
                unpacking.write(folder / files[-1], [content], limits)
            lines.extend(_rows(records, names, classes, files[-len(records) :]))
        (folder / "table.json").write_text(json.dumps(lines), encoding="utf-8", errors="surrogateescape")

    folder = unpacking.folder(key(), fill, origin=path)
    stored = json_records.plain((folder / "table.json").read_text(encoding="utf-8", errors="surrogateescape"))
    rows = [(line, cells) for line, cells in stored]
    note = f"image bytes are unpacked into {printable(str(folder))}."
    return Table(path=path, names=["path", *names], rows=rows, notes=(note,), root=folder, label_column=label)


def _rows(
    records: Sequence[dict[str, Any]], names: Sequence[str], classes: dict[str, list[str]], files: list[str] | None
) -> list[tuple[int, list[str]]]:
    rows = []
    for position, record in enumerate(records):
        cells = [_cell(record[name], classes.get(name)) for name in names]
        rows.append((position + 1, cells if files is None else [files[position], *cells]))
    return rows


def _cell(value: Any, classes: list[str] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and "path" in value:  # an image that is stored by its path alone
        return str(value["path"] or "")
    if classes is not None and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _image_column(schema: Any) -> str | None:
    """Return the column of image bytes: a structure with `bytes`, a binary column with a usual name, or the only one."""
    binary = []
    for field in schema:
        kind = str(field.type)
        if kind.startswith("struct<") and "bytes: binary" in kind.replace("large_", ""):
            return str(field.name)
        if kind in ("binary", "large_binary"):
            binary.append(str(field.name))
    usual = [name for name in binary if columns.normalised(name) in _IMAGE_COLUMNS]
    return next(iter(usual or (binary if len(binary) == 1 else [])), None)


def _holds_paths(batch: Any, image: str) -> bool:
    """Return True where the structures of an image column hold paths and no bytes."""
    values = [] if batch is None else batch.column(image).to_pylist()
    return any(isinstance(v, dict) and v.get("path") for v in values) and not any(
        v.get("bytes") if isinstance(v, dict) else v for v in values
    )


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Return the class names of integer label columns, from the metadata that Hugging Face `datasets` writes."""
    try:
        info = json_records.plain((schema.metadata or {})[b"huggingface"])
        features = info["info"]["features"]
        return {name: list(f["names"]) for name, f in features.items() if isinstance(f, dict) and "names" in f}
    except (KeyError, ValueError, TypeError):
        return {}


def _content(value: Any) -> tuple[bytes, str]:
    """Return an image's bytes and the name that the table states for it, "" where it states none."""
    if isinstance(value, dict):
        return value.get("bytes") or b"", value.get("path") or ""
    return value or b"", ""


def _suffix(stated: str) -> str:
    suffix = Path(stated).suffix.lower()
    return suffix if suffix[1:].isalnum() else ""


def require_pyarrow(module: str, path: Path) -> Any:
    """Import a module of pyarrow. Raises DatasetError with the command that installs it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise DatasetError(
            f"{printable(str(path))}: reading this format needs pyarrow.",
            hint="Install it: pip install 'tl-advise[parquet]'.",
        ) from None


def damaged(path: Path, error: Exception) -> DatasetError:
    """Return the error for a file that pyarrow cannot read."""
    return DatasetError(
        f"{printable(str(path))}: cannot be read ({' '.join(str(error).split())[:120]}).", hint="Check the file."
    )
