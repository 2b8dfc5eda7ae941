"""`tl-advise worker`: train for a search that runs elsewhere."""

from __future__ import annotations

from typing import Any

import click

from advisor.cli import _options


@click.command(name="worker")
@click.option("--storage", metavar="URL", help="The shared database, without a password. [TL_ADVISE_STORAGE]")
@click.option("--study", required=True, metavar="NAME", help="The study's name, as `tl-advise advise` shows it.")
@click.option("--data", required=True, type=click.Path(), metavar="PATH", help="The same data set, on this machine.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads. [all cores]")
@click.option("--log", type=click.Path(), metavar="FILE", help="Where the training process writes. [nowhere]")
@click.option("--wait", metavar="TIME", help="Wait so long for a study that is not there yet. [not at all]")
@_options.machine()
def command(
    storage: str | None, study: str, data: str, wait: str | None, quiet: bool, as_json: bool, **call: Any
) -> int:
    """Join a search on another machine: take its waiting trials, train them, send the records back.

    The data set and the versions of all plugins must be the same as the coordinator's. The worker leaves when the
    search ends; killed, it costs the trial that it had, which another one takes.

    \b
    Example:
      tl-advise worker --storage postgresql://me@server/searches --study photos-1 --data ./photos
    """
    import json

    from advisor.cli._live_progress import Screen
    from advisor.cli.advise import stopped_by_signals
    from advisor.errors import InputError, Interrupted
    from advisor.runtime import durations
    from advisor.tuning.distributed import database
    from advisor.tuning.distributed.remote_worker import Recruit

    place = database.address(storage)
    if place is None:
        raise InputError("no storage is named.", hint=f"Give --storage URL or set {database.VARIABLE}.")
    wait_s = durations.parse(wait) if wait else 0.0
    with Screen(quiet=quiet) as screen, stopped_by_signals():
        joined = Recruit(
            database=database.Database(place, screen.note),
            name=study,
            data=data,
            listener=screen,
            wait_s=wait_s,
            **call,
        )
        try:
            done = joined.serve()
        except KeyboardInterrupt:
            raise Interrupted("stopped.", hint="The trial at hand goes to another worker.") from None
    click.echo(json.dumps({"study": study, "trials": done}) if as_json else f"the search has ended: {done} trials here")
    return 0
