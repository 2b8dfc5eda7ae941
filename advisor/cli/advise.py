"""`tl-advise advise`: the main job."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from advisor.cli import _limit_options, _options
from advisor.cli._sections import SectionedCommand

SECTIONS = {
    "Time and output": ("budget", "trials", "out", "seed", "as_json", "quiet", "verbose", "log"),
    "What the model must do": ("objective", "max_ms", "max_mb", "target", "source"),
    "What the search may try": ("regime", "backbones", "strategies", "size_px", "experience", "blocked"),
    "Test and validation": ("test_split", "val", "remove_leaks", "relabel"),
    "How the data set is read": (
        *("layout", "exclude", "root", "path_column", "label_column", "group_column", "split_column"),
        *("label_from", "max_pixels"),
    ),
    "Weights and this machine": ("offline", "weights_dir", "weights", "device", "threads", "devices", "workers"),
    "Many machines": ("ray", "data_on_nodes", "storage", "study"),
}


@click.command(name="advise", cls=SectionedCommand, sections=SECTIONS)
@click.argument("dataset", type=click.Path())
@_options.training()
@_limit_options.limits()
@_options.test_split()
@_options.reading()
@_options.relabel()
@click.option("--remove-leaks", is_flag=True, help="Remove images from training that are also in the test set.")
@_options.blocked()
@click.option(
    "--experience",
    multiple=True,
    metavar="DIR",
    help="Folder with finished runs from which the search learns what to expect (repeatable).",
)
@_options.devices(1, "GPUs per training run.")
@_options.target(
    'Unlabelled images from where the model will be used (documentation: "Adapting to images that look different").'
)
@click.option(
    "--source",
    metavar="DIR",
    help="Labelled images of the pretraining classes, to measure how much of them is forgotten "
    '(documentation: "Comparing ways of training").',
)
@click.option(
    "--log",
    multiple=True,
    metavar="NAME",
    help='Log the run to tensorboard, mlflow or wandb, repeatable (documentation: "Logging to a tracker").',
)
@_options.verbose()
def command(
    dataset: str, as_json: bool, quiet: bool, verbose: bool, out: str | None, target: str | None, **call: Any
) -> int:
    """Train an image classifier from a folder of images: a model, a recipe, a report and an honest test score.

    DATASET is a folder with one folder per class; or train/, val/ and test/ with such folders; or a CSV or TSV file
    with the columns path,label. Everything is written to a run directory; `tl-advise show RUN` prints the result again.

    \b
    Examples:
      tl-advise ./photos
      tl-advise ./photos --budget 3m --out run1
      tl-advise photos.csv --backbone mobilenet_v2 --trials 8 --seed 3
      tl-advise ./photos --regime full --json > result.json
      tl-advise ./photos --target ./sketches
      tl-advise ./photos --max-ms 20 --max-mb 10
    """
    settings = _settings(dataset, call)
    if target is not None:
        from advisor.cli import _adapt

        return _adapt.run(_as_given(settings, call), target, out, as_json=as_json, quiet=quiet)
    from advisor import advice
    from advisor.cli._live_progress import LiveProgress

    with LiveProgress(quiet=quiet, verbose=verbose) as screen:
        result, rundir = advice.advise(settings, out=Path(out) if out else None, listener=screen)
    print_result(result, rundir.path, as_json)
    return 0


def _settings(dataset: str, call: dict[str, Any]) -> Any:
    from advisor.errors import InputError
    from advisor.records import Settings
    from advisor.runtime import durations

    if call["devices"] > 1 and (call["workers"] or 1) > 1:
        raise InputError(
            f"--workers {call['workers']} and --gpus {call['devices']} cannot be combined.",
            hint="Use --gpus for one training run on several GPUs, --workers for several trials at the same time.",
        )
    budget = call["budget"]
    seconds = durations.parse(budget) if budget else (None if call["trials"] else 900.0)
    return Settings(
        data=dataset,
        command=command_line(),
        budget_s=seconds,
        trials=call["trials"],
        seed=call["seed"],
        device=call["device"],
        devices=call["devices"],
        size_px=call["size_px"],
        backbones=tuple(call["backbones"]),
        strategies=tuple(call["strategies"]),
        regime=call["regime"],
        objective=call["objective"],
        max_ms=call["max_ms"],
        max_mb=call["max_mb"],
        weights_dir=call["weights_dir"],
        offline=call["offline"],
        test_split=call["test_split"],
        reading=_options.read_options(call),
        relabel=call["relabel"],
        remove_leaks=call["remove_leaks"],
        experience=tuple(call["experience"]),
        plugins_blocked=tuple(call["blocked"]),
        threads=call["threads"],
        source=call["source"],
        log=tuple(call["log"]),
        **_stored(call),
        **{"workers": _workers(call), **_on_ray(call)},
    )


def _as_given(settings: Any, call: dict[str, Any]) -> Any:
    """Return the settings without what this machine and the environment add to those of a search."""
    from dataclasses import replace

    storage = settings.storage if call["storage"] else ""
    return replace(settings, workers=call["workers"] or 1, storage=storage)


def _workers(call: dict[str, Any]) -> int:
    """Return how many worker processes run trials on this machine."""
    from advisor.runtime import device

    if call["workers"] is not None:
        return int(call["workers"])
    return 1 if call["devices"] > 1 else device.workers(call["device"])


def _on_ray(call: dict[str, Any]) -> dict[str, Any]:
    """Return on which Ray cluster trials run, nothing where they run on this machine. Raises InputError."""
    from advisor.errors import InputError

    if not call["ray"]:
        if call["data_on_nodes"]:
            raise InputError("--data-on-nodes needs --ray.", hint="Add --ray ADDRESS, or remove --data-on-nodes.")
        return {}
    if call["devices"] > 1 and not call["data_on_nodes"]:
        raise InputError(
            "--gpus with --ray needs the data set on every node.", hint="Name it with --data-on-nodes PATH."
        )
    return {
        "ray": call["ray"],
        "ray_actors": call["workers"],
        "workers": 1,
        "data_on_nodes": call["data_on_nodes"] or "",
    }


def _stored(call: dict[str, Any]) -> dict[str, Any]:
    """Return where the study is stored, nothing where it is in the run directory. Raises InputError."""
    from advisor.errors import InputError

    if call["storage"] is None and not os.environ.get("TL_ADVISE_STORAGE"):
        if call["study"]:
            raise InputError("--study needs --storage.", hint="Add --storage URL, or remove --study.")
        return {}
    from advisor.tuning.trials import storage

    return {
        "storage": storage.public(storage.address(call["storage"]) or ""),
        "study": call["study"] or "",
    }


def command_line() -> str:
    """Return the call as a person would type it again."""
    from advisor.data.remote import urls

    return shlex.join(["tl-advise", *urls.public_words(sys.argv[1:])])


def print_result(result: Any, path: Path, as_json: bool) -> None:
    """Print a result on standard output: JSON, or tables."""
    from advisor.cli import _console, _result_table

    if as_json:
        _console.record_as_json(result)
    else:
        _result_table.result(result, path)
