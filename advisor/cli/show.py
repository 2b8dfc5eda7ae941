"""`tl-advise show`: print the result of a run again. No torch on this path."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli import _options
from advisor.cli.advise import print_result


@click.command(name="show")
@click.argument("run", type=click.Path())
@_options.as_json()
def command(run: str, as_json: bool) -> int:
    """Print the result of a run again: finished, or as far as it has come. Nothing is trained.

    \b
    Examples:
      tl-advise show run1
      tl-advise show run1 --json
    """
    from advisor.reporting import stored_results

    result, folder = stored_results.read(Path(run))
    print_result(result, folder, as_json)
    return 0
