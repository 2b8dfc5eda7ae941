"""Golden files: what people see, kept under `tests/golden/` and compared to the letter.

`TL_ADVISE_GOLDEN=write python -m pytest tests` rewrites all of them; read the diff before you commit it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path


def golden(path: Path, text: str) -> None:
    """Compare `text` with the file at `path`, or write it there where TL_ADVISE_GOLDEN is `write`."""
    if os.environ.get("TL_ADVISE_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), "golden", "now", lineterm="", n=1)
    assert before == text, "\n".join([f"{path} differs (TL_ADVISE_GOLDEN=write rewrites it):", *lines])
