"""Everything that a command prints to the terminal goes through this module, so that no name can corrupt the output.

In: text, tables, records. Out: standard output (the answer) or standard error (progress, notes, errors). On a terminal,
lines are wrapped between words; where the output goes into a file or a pipe, they are not wrapped and not coloured. Does
NOT cover: the live view of a run (`_live_progress`), what the answer of a run says (`_result_table`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from advisor.safe_text import LONGEST, printable, shortened

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LOG_WIDTH = 160  # of tables without a terminal
GLOSSARY = "Terms are explained at the end of the report"


def console(*, stderr: bool = False, width: int = LOG_WIDTH) -> Console:
    """Open standard output or standard error; without a terminal, tables are as wide as a log can bear."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else width)


def text(value: str, *, longest: int = LONGEST) -> str:
    """Return a string that is safe inside markup: brackets are text, what is not visible is written as escapes."""
    from rich.markup import escape

    return escape(shortened(value, longest))


def say(line: str, *, stderr: bool = False) -> None:
    """Print one line of plain text: wrapped between words on a terminal, whole elsewhere."""
    import click

    stream = sys.stderr if stderr else sys.stdout
    if not stream.isatty():
        click.echo(printable(line), err=stderr)
        return
    from rich.text import Text

    console(stderr=stderr).print(Text(printable(line), overflow="fold"))


def note(line: str) -> None:
    """Print a warning on standard error."""
    say(f"note: {line}", stderr=True)


def command(line: str) -> None:
    """Print a command to be copied: never wrapped or shortened."""
    import click

    click.echo(printable(line))


def command_block(block: str) -> None:
    """Print lines that must keep their columns: a drawing in characters."""
    import click

    click.echo("\n".join(printable(line) for line in block.splitlines()))


def as_json(value: Any) -> None:
    """Print JSON on standard output, in ASCII: whatever a name holds is an escape there."""
    import click

    click.echo(json.dumps(value, indent=2, allow_nan=False))


def record_as_json(record: Any) -> None:
    """Print a record as JSON on standard output: fields in their order, numbers that are not finite as null."""
    from advisor.runtime.atomic_file import to_json

    as_json(json.loads(to_json(record)))


def listing(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table with these column titles; those in `right` are aligned right.

    Where the terminal is too narrow, cells are folded, the widest columns first: none is cut off, and no column is left out.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in columns:
        table.add_column(title, overflow="fold", justify="right" if title in right else "left")
    return table


def print_columns(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, fold: int, right: Sequence[int] = ()
) -> None:
    """Print a long list without frames: column `fold` is wrapped to the room that the others leave, `right` are numbers.

    rich would take a tenth of a second for a hundred rows, which is most of the command's time.
    """
    import shutil
    import textwrap

    import click

    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else LOG_WIDTH
    lines = [list(titles), *([shortened(cell, LONGEST) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths[fold] = max(10, min(widths[fold], room - sum(widths) + widths[fold] - 2 * (len(widths) - 1)))
    for cells in lines:
        for part in textwrap.wrap(cells[fold], widths[fold]) or [""]:
            cells[fold] = part
            padded = (
                c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            )
            click.echo("  ".join(padded).rstrip())
            cells = [""] * len(cells)


def facts() -> Table:
    """Return an empty table of two columns: a dim label, and what it says."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def size(count: int) -> str:
    """Return a number of bytes in decimal units with one digit, a dash for zero."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} B" if count else "-"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 file", "2 files"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


@contextmanager
def bar(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that moves a bar on standard error: (what, done, total). It does nothing without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda what, done, total: progress.update(task, description=text(what), completed=done, total=total)
