"""`tl-advise resume`: resume a run that was stopped."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli import _options
from advisor.cli.advise import print_result, stopped_by_signals


@click.command(name="resume")
@click.argument("run", type=click.Path())
@_options.quiet()
@_options.verbose()
@_options.as_json()
def command(run: str, quiet: bool, verbose: bool, as_json: bool) -> int:
    """Resume a run that was stopped or killed: no finished trial is lost, and the time already spent counts.

    A finished run prints its result again, as `tl-advise show` does.

    \b
    Example:
      tl-advise resume tl-advise-runs/photos-20260101-120000
    """
    from advisor import advice
    from advisor.cli._live_progress import LiveProgress

    with LiveProgress(quiet=quiet, verbose=verbose) as screen, stopped_by_signals():
        result, rundir = advice.resume(Path(run), listener=screen)
    print_result(result, rundir.path, as_json)
    return 0
