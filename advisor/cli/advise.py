"""`tl-advise advise`: the main job."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from advisor.cli import _options


@click.command(name="advise")
@click.argument("dataset", type=click.Path())
@_options.training()
@click.option(
    "--test-split", type=click.Choice(["auto", "none"]), default="auto", show_default=True, help="Cut a test?"
)
@click.option("--remove-leaks", is_flag=True, help="Take images out of training that are also in the test.")
@click.option("--block", "blocked", multiple=True, metavar="PLUGIN", help="Leave a plugin out (repeatable).")
@click.option(
    "--devices", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="GPUs of one training."
)
@click.option("--target", metavar="DIR", help="Unlabelled images to adapt to: see docs/adaptation.md.")
@click.option(
    "--source", metavar="DIR", help="Images of the source's classes, to see what is forgotten: docs/compare.md."
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads. [all cores]")
def command(dataset: str, as_json: bool, quiet: bool, out: str | None, target: str | None, **call: Any) -> int:
    """From a folder of images to advice, a model, a recipe and an honest score.

    DATASET is a folder of class folders; or train/, val/, test/ of class folders; or a CSV or TSV with path,label.

    \b
    Examples:
      tl-advise ./photos
      tl-advise ./photos --budget 3m --out run1
      tl-advise photos.csv --backbone mobilenet_v2 --trials 8 --seed 3
      tl-advise ./photos --regime full --json > answer.json
      tl-advise ./photos --target ./sketches
    """
    settings = _settings(dataset, call)
    if target is not None:
        from advisor.cli import _adapt
        from advisor.errors import InputError

        if call["devices"] > 1:
            raise InputError("--target adapts on one device.", hint="Leave --devices out.")

        return _adapt.run(settings, target, out, as_json=as_json, quiet=quiet)
    from advisor import advice
    from advisor.cli._live_progress import Screen

    with Screen(quiet=quiet) as screen, stopped_by_signals():
        result, rundir = advice.advise(settings, out=Path(out) if out else None, listener=screen)
    answer(result, rundir.path, as_json)
    return 0


def _settings(dataset: str, call: dict[str, Any]) -> Any:
    from advisor.errors import InputError
    from advisor.records import Settings
    from advisor.runtime import device, durations

    if call["devices"] > 1 and (call["workers"] or 1) > 1:
        raise InputError(
            f"--workers {call['workers']} and --devices {call['devices']} cannot go together.",
            hint="Use --devices for one training on several devices, --workers for several trials at a time.",
        )
    asked = call["budget"]
    seconds = durations.parse(asked) if asked else (None if call["trials"] else 900.0)
    return Settings(
        data=dataset,
        command=command_line(),
        budget_s=seconds,
        trials=call["trials"],
        seed=call["seed"],
        device=call["device"],
        workers=call["workers"]
        if call["workers"] is not None
        else (1 if call["devices"] > 1 else device.workers(call["device"])),
        devices=call["devices"],
        size_px=call["size_px"],
        backbones=tuple(call["backbones"]),
        strategies=tuple(call["strategies"]),
        regime=call["regime"],
        weights_dir=call["weights_dir"],
        offline=call["offline"],
        test_split=call["test_split"],
        remove_leaks=call["remove_leaks"],
        plugins_blocked=tuple(call["blocked"]),
        threads=call["threads"],
        source=_source(call["source"]),
        **_stored(call),
    )


def _stored(call: dict[str, Any]) -> dict[str, Any]:
    """Read in which database the study stands, if it is in one. Raises InputError."""
    import os

    from advisor.errors import InputError

    if call["storage"] is None and not os.environ.get("TL_ADVISE_STORAGE"):
        if call["study"]:
            raise InputError("--study needs a --storage.", hint="Name one, or leave it out.")
        return {}
    from advisor.tuning.trials import storage

    return {
        "storage": storage.public(storage.address(call["storage"]) or ""),
        "study": call["study"] or "",
    }


def _source(path: str | None) -> str | None:
    """Check at the start that the folder can be used at the end. Raises DatasetError."""
    if path is not None:
        from advisor.data import domains

        domains.class_folders(path, option="--source")
    return path


def command_line() -> str:
    """Give the call as a person would type it again."""
    return shlex.join(["tl-advise", *sys.argv[1:]]) if sys.argv else "tl-advise"


class stopped_by_signals:  # noqa: N801 (a context manager that reads as a phrase)
    """SIGTERM means what Ctrl-C means while this is open: keep the best so far, and stop.

    SIGINT is taken as well: a script's background job starts with it ignored, and could not be stopped gently else.
    """

    def __enter__(self) -> None:
        self.before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGTERM, signal.SIGINT)}

    def _interrupt(self, number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def answer(result: Any, path: Path, as_json: bool) -> None:
    """Print the answer on standard output: JSON, or the final table."""
    from advisor.runtime.atomic_file import to_json

    if as_json:
        click.echo(to_json(result), nl=False)
        return
    from advisor.cli import _result_table

    _result_table.result(result, path)
