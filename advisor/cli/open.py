"""`tl-advise open`: open the report of a run in the browser. No torch on this path."""

from __future__ import annotations

from pathlib import Path

import click

from advisor import errors
from advisor.errors import InputError

PAGES = ("report.html", "comparison.html")


@click.command(name="open")
@click.argument("run", type=click.Path())
@click.option("--print", "only_print", is_flag=True, help="Print the path of the report and do not open it.")
def command(run: str, only_print: bool) -> int:
    """Open the report of a run in the browser. Where there is no browser, its path is printed.

    \b
    Examples:
      tl-advise open run1
      tl-advise open run1 --print
    """
    from advisor.cli import _console

    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    page = next((folder / name for name in PAGES if (folder / name).is_file()), None)
    if page is None:
        hint = errors.nearest_run(folder, PAGES[0], "Name a run directory, such as tl-advise-runs/NAME-TIME.")
        raise InputError(f"{run}: there is no report.", hint=hint)
    if not only_print:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())
    _console.command(str(page))
    return 0
