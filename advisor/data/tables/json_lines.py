"""JSON Lines (one object per line), or a JSON array of objects -> `Table`. Numbers and booleans become text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advisor.data.images import printable
from advisor.data.tables.delimited import decoded
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError

SUFFIXES = (".jsonl", ".ndjson", ".json")
_FORM = 'One object per line is expected: {"path": "img/1.jpg", "label": "cat"}.'


def read(path: Path) -> Table:
    """Parse the objects of a file. Raises DatasetError with the line number where one is malformed."""
    shown = printable(str(path))
    text, notes = decoded(path)
    objects: list[tuple[int, Any]] = []
    if text.lstrip().startswith("["):
        try:
            objects = list(enumerate(json.loads(text), start=1))
        except ValueError as error:
            raise DatasetError(f"{shown}: no valid JSON ({error}).", hint=_FORM) from error
    else:
        for line, content in enumerate(text.split("\n"), start=1):
            if content.strip():
                try:
                    objects.append((line, json.loads(content)))
                except ValueError as error:
                    raise DatasetError(f"{shown}, line {line}: no valid JSON ({error}).", hint=_FORM) from error
    names: dict[str, None] = {}
    for line, record in objects:
        if not isinstance(record, dict):
            raise DatasetError(f"{shown}, line {line}: no object.", hint=_FORM)
        names.update(dict.fromkeys(record))
    rows = [(line, [_cell(record.get(name), shown, line, name) for name in names]) for line, record in objects]
    return Table(path=path, names=tuple(names), rows=rows, notes=tuple(notes))


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
