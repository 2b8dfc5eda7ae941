"""`tl-advise resume`: resume a run that was stopped."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli import _device_option, _options
from advisor.cli.advise import print_result


@click.command(name="resume", context_settings={"ignore_unknown_options": True})
@click.argument("run", type=click.Path())
@click.argument("others", nargs=-1, type=click.UNPROCESSED, metavar="")
@_options.threads()
@click.option(
    "--device",
    "device_name",
    metavar="NAME",
    callback=_device_option.checked,
    help="auto, cpu or cuda[:i]. [the run's own]",
)
@_options.offline()
@_options.quiet()
@_options.verbose()
@_options.as_json()
def command(
    run: str,
    others: tuple[str, ...],
    threads: int | None,
    device_name: str | None,
    offline: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Resume a run that was stopped or killed: no finished trial is lost, and the time already spent counts.

    The data must be those of the run. A finished run prints its result again, as `tl-advise show` does.

    \b
    Examples:
      tl-advise resume tl-advise-runs/photos-20260101-120000
      tl-advise resume run1 --threads 2 --offline
    """
    from advisor import advice
    from advisor.cli._live_progress import LiveProgress
    from advisor.errors import InputError

    if others:
        raise InputError(
            f"resume: {others[0]} is not an option of resume, since it could change the result.",
            hint="Only --threads, --device and --offline can be changed; for anything else start a new run.",
        )
    with LiveProgress(quiet=quiet, verbose=verbose) as screen:
        result, rundir = advice.resume(
            Path(run), threads=threads, device_name=device_name, offline=offline, listener=screen
        )
    print_result(result, rundir.path, as_json)
    return 0
