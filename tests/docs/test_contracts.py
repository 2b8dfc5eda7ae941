"""The contracts of docs/design.md: fields of `result.json` and files of a run directory are those of the code."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from advisor.records import Result
from advisor.runtime.run_dir import KEPT

DESIGN = (Path(__file__).parents[2] / "docs" / "design.md").read_text(encoding="utf-8")


def first_column(section: str) -> set[str]:
    """Return the names in the first column of the table of a section."""
    text = DESIGN.partition(f"### {section}")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (`.+?) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_lists_the_fields_of_a_result() -> None:
    """Section 3.2 has every field of `result.json`, and no other."""
    assert first_column("3.2") == {field.name for field in dataclasses.fields(Result)}


def test_the_page_lists_the_files_that_a_run_keeps() -> None:
    """Section 3.5 has every file that the end of a run moves into its directory."""
    assert set(KEPT) <= first_column("3.5")
