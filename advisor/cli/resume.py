"""`tl-advise resume`: go on with a run."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli.advise import answer, stopped_by_signals


@click.command(name="resume")
@click.argument("run", type=click.Path())
@click.option("--quiet", is_flag=True, help="No progress, only warnings and the answer.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON on standard output.")
def command(run: str, quiet: bool, as_json: bool) -> int:
    """Go on with a run that was stopped or killed: no finished trial is lost, the time already spent counts.

    A finished run prints its result again.

    \b
    Example:
      tl-advise resume tl-advise-runs/photos-20260101-120000
    """
    from advisor import advice
    from advisor.cli._live_progress import Screen

    with Screen(quiet=quiet) as screen, stopped_by_signals():
        result, rundir = advice.resume(Path(run), listener=screen)
    answer(result, rundir.path, as_json)
    return 0
