"""`tl-advise distill`: a smaller network that learns from the model of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from advisor.cli import _limit_options, _options


@click.command(name="distill")
@click.argument("run", type=click.Path())
@click.option(
    "--backbone",
    metavar="NAME",
    help="Network to train. [the built-in one; under a limit, the most accurate available one that keeps it]",
)
@click.option(
    "--unlabelled", type=click.Path(), metavar="DIR", help="Folder of images without labels, to learn from as well."
)
@_limit_options.limits()
@click.option("--data", type=click.Path(), metavar="PATH", help="Where the images of the run are now.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of the strategy distill, such as epochs=20 (repeatable); `tl-advise plugins show distill` lists them.",
)
@_options.out("Folder for the new run. [./tl-advise-runs/NAME-TIME]")
@_options.size()
@_options.seed()
@_options.threads()
@_options.blocked()
@_options.machine()
def command(
    run: str,
    backbone: str | None,
    unlabelled: str | None,
    data: str | None,
    out: str | None,
    overrides: Sequence[str],
    quiet: bool,
    as_json: bool,
    **call: Any,
) -> int:
    """Train a smaller network with the help of the model of a run.

    RUN is a finished run. The network learns from the labels of the run's training images and from the probabilities that
    the run's model gives on them, and on unlabelled images where there are any. It is trained once more without that model,
    and the difference on the run's test images is printed. The result is a run of its own.

    \b
    Examples:
      tl-advise distill runs/ants --out small1
      tl-advise distill runs/ants --max-ms 5 --unlabelled ./more-photos --out small1
      tl-advise distill runs/ants --backbone mobilenet_v3_small --set epochs=30 --out small1
    """
    import datetime

    from advisor.cli import _console, _result_table
    from advisor.cli._live_progress import LiveProgress
    from advisor.records import Settings
    from advisor.runtime.run_dir import default_folder
    from advisor.workflows.distillation import distilled_run

    folder = Path(out) if out else default_folder(Path(run), datetime.datetime.now())
    settings = Settings(
        data="",
        backbones=(backbone,) if backbone else (),
        plugins_blocked=tuple(call.pop("blocked")),
        **call,
    )
    with LiveProgress(quiet=quiet) as screen:
        result = distilled_run.distil(
            Path(run),
            out=folder,
            settings=settings,
            images=Path(unlabelled) if unlabelled else None,
            data=Path(data) if data else None,
            overrides=overrides,
            listener=screen,
        )
    if as_json:
        _console.record_as_json(result)
    else:
        _result_table.result(result, folder)
    return 0
