"""JSON Lines (one object per line), or a JSON array of objects -> `Table`. Numbers and booleans become text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advisor.data.images import printable
from advisor.data.tables import columns
from advisor.data.tables.delimited import decoded
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError
from advisor.runtime import json_records

SUFFIXES = (".jsonl", ".ndjson", ".json")
_FORM = 'One object per line is expected: {"path": "img/1.jpg", "label": "cat"}.'


def read(path: Path) -> Table:
    """Parse the objects of a file. Raises DatasetError with the line number where one is malformed."""
    shown = printable(str(path))
    text, notes = decoded(path)
    objects: list[tuple[int, Any]] = []
    whole = (
        _whole(text, shown)
        if text.lstrip().startswith("[") or path.name.lower().endswith((".json", ".json.gz"))
        else None
    )
    if whole is not None:
        objects = list(enumerate(whole, start=1))
    else:
        for line, content in enumerate(text.split("\n"), start=1):
            if content.strip():
                try:
                    objects.append((line, json_records.plain(content)))
                except ValueError as error:
                    raise DatasetError(f"{shown}, line {line}: no valid JSON ({error}).", hint=_FORM) from error
    names: dict[str, None] = {}
    for line, record in objects:
        if not isinstance(record, dict):
            raise DatasetError(f"{shown}, line {line}: no object.", hint=_FORM)
        names.update(dict.fromkeys(record))
    rows = [(line, [_cell(record.get(name), shown, line, name) for name in names]) for line, record in objects]
    return Table(path=path, names=tuple(names), rows=rows, notes=tuple(notes))


def _whole(text: str, shown: str) -> list[Any] | None:
    """Parse one JSON array, or one object of path: label; None where the text is not one value. Raises DatasetError."""
    try:
        value = json_records.plain(text)
    except ValueError as error:
        if text.lstrip().startswith("["):
            raise DatasetError(f"{shown}: no valid JSON ({error}).", hint=_FORM) from error
        return None
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and len(value) > 1 and not any(isinstance(v, list | dict) for v in value.values()):
        is_one_row = columns.has_path_and_label(list(value))
        return [value] if is_one_row else [{"path": path, "label": label} for path, label in value.items()]
    raise DatasetError(
        f"{shown}: one JSON value that is no list of images (COCO and the like are not read).", hint=_FORM
    )


def _cell(value: Any, shown: str, line: int, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        if name in ("label", "labels", "class", "category"):
            raise DatasetError(
                f"{shown}, line {line}: {name} is a {'list' if isinstance(value, list) else 'mapping'}: multi-label data "
                "are not supported.",
                hint="Give one class per image.",
            )
        return json.dumps(value)
    return str(value)
