"""A table that grows by one line a run: what is there is not run again, so that a benchmark can be stopped anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Rows:
    """JSON lines, each with a `key` that says what was run and the numbers that came of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]

    def has(self, key: Mapping[str, Any]) -> bool:
        """Return True if this was run before."""
        return any(row["key"] == dict(key) for row in self.rows)

    def add(self, key: Mapping[str, Any], **numbers: Any) -> None:
        """Write one run down."""
        row = {"key": dict(key), **numbers}
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
