"""Plain tables of the commands that list things: the console that they print to and the look that they share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console() -> Console:
    """Open standard output; where nobody watches, lines are as long as a log can bear."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def listing(*columns: str) -> Table:
    """Make an empty table with these column titles; the last column takes what room there is."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in columns[:-1]:
        table.add_column(title, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    return table


def size(count: int) -> str:
    """Write a number of bytes as a person reads it."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B" if count else "-"
