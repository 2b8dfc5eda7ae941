"""Plain tables: sizes as a person reads them, and columns that keep their room."""

from __future__ import annotations

import pytest

from advisor.cli import _console


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "-"), (999, "999 B"), (1000, "1.0 kB"), (46_830_571, "46.8 MB"), (1_500_000_000, "1.5 GB")],
)
def test_sizes(count: int, text: str) -> None:
    """Decimal units, one digit; nothing is a dash."""
    assert _console.size(count) == text


def test_only_the_last_column_folds(capsys: pytest.CaptureFixture[str]) -> None:
    """Names are never cut; long remarks go on in the next line, where nobody watches too."""
    table = _console.listing("name", "remark")
    table.add_row("n" * 40, "r" * 300)
    _console.console().print(table)
    printed = capsys.readouterr().out
    assert "n" * 40 in printed
    assert printed.count("r") == 300 + "name remark".count("r")
