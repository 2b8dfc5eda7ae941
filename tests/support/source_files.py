"""The Python files of the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def files(folder: str) -> list[Path]:
    """List the Python files of a package."""
    return sorted(p for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)
