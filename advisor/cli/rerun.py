"""`tl-advise rerun`: retrain a recipe and verify its score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options
from advisor.reporting import wording

if TYPE_CHECKING:
    from advisor.records import Forgetting
    from advisor.workflows.rerun_verify import Rerun


@click.command(name="rerun")
@click.argument("recipe", type=click.Path())
@click.option("--verify", is_flag=True, help="Verify the score of the recipe; the exit code is 3 if it differs.")
@click.option(
    "--data",
    type=click.Path(),
    metavar="PATH",
    help="Use this data set; another one gets its own splits and the same number of epochs.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Repeat with N seeds; print mean and standard deviation.",
)
@_options.out("Folder for the model and its run. [not saved]")
@_options.devices(None, "GPUs per training run. [as in the recipe]")
@_options.target("For adapted and distilled runs: folder of their unlabelled images.")
@click.option(
    "--source",
    metavar="DIR",
    help="Labelled images of the pretraining classes, to measure how much of them is forgotten.",
)
@_options.reading("as in the recipe")
@_options.relabel()
@_options.blocked()
@_options.machine()
def command(
    recipe: str,
    verify: bool,
    data: str | None,
    out: str | None,
    target: str | None,
    source: str | None,
    quiet: bool,
    as_json: bool,
    **call: Any,
) -> int:
    """Retrain a recipe and score it on the test set; nothing is searched again.

    RECIPE is a recipe.yaml or a run directory. With --json, `verified` says how the scores agree, `error` why they do not.

    \b
    Examples:
      tl-advise rerun run1 --verify
      tl-advise rerun run1/recipe.yaml --data ./other-photos --out run2
      tl-advise rerun run1 --seeds 5
      tl-advise rerun run1 --source ./imagenet-sample
      tl-advise rerun adapted1 --verify --target ./sketches
    """
    from advisor.cli import _console
    from advisor.workflows import rerun_verify

    call = {**call, "data": Path(data) if data else None, "out": Path(out) if out else None, "verify": verify}
    result = _rerun(Path(recipe), target, source, call, quiet=quiet)
    agreed, failure = rerun_verify.agreement(result) if verify else (None, None)
    if as_json:
        _console.record_as_json({"result": result, "verified": agreed, "error": failure.what if failure else None})
    else:
        _print(result, agreed)
    if failure:  # after the scores, which took the time of a training
        raise failure
    return 0


def _rerun(path: Path, target: str | None, source: str | None, call: dict[str, Any], *, quiet: bool) -> Rerun:
    """Retrain the recipe as what it is: a training run on labelled images, or an adaptation to a target."""
    from advisor.cli import _console
    from advisor.cli._live_progress import LiveProgress
    from advisor.data import domains
    from advisor.errors import InputError
    from advisor.records import recipe_file
    from advisor.workflows import rerun, rerun_adaptation
    from advisor.workflows.finished import recorded_data

    source_images = domains.read_source(source) if source else None  # before any work, so that a mistake shows at once
    recipe = recipe_file.read(path)
    reading = _options.read_options(call, recorded_data.recorded_reading(recipe))
    where = {k: call[k] for k in ("data", "out", "seeds", "weights_dir", "offline", "verify")}
    where |= {"block": call["blocked"], "reading": reading}
    where["device"] = None if call["device"] == "auto" else call["device"]
    if recipe.target is not None:
        if source or call["devices"] or call["relabel"]:
            raise InputError("--source, --gpus and --relabel do not apply to an adapted run.", hint="Remove them.")
        with _console.bar(quiet) as report:
            return rerun_adaptation.rerun_adapted(
                recipe, path, **where, target=Path(target) if target else None, report=report
            )
    if target and (recipe.teacher is None or recipe.teacher.unlabelled is None):
        raise InputError(f"--target: {path} is a recipe without unlabelled images.", hint="Remove --target.")
    with LiveProgress(quiet=quiet) as screen:
        return rerun.rerun_recipe(
            path,
            **where,
            devices=call["devices"],
            relabel=Path(call["relabel"]) if call["relabel"] else None,
            source=source_images,
            unlabelled=Path(target) if target else None,
            listener=screen,
        )


def _print(result: Rerun, agreed: str | None) -> None:
    from advisor.cli import _console

    for run in result.runs:
        interval = f", 95 % interval {wording.span(run.test.ci95)}" if run.test else ""
        _console.say(
            f"seed {run.seed}: {result.measured_on} accuracy {wording.percent(run.accuracy, 2)}{interval}, "
            f"{_console.counted(run.n, 'image')}, weights {run.weights_sha256[:12]}"
        )
    if result.std is not None:
        mean, std = wording.percent(result.mean, 2), wording.percent(result.std, 2)
        _console.say(f"mean {mean}, standard deviation {std}, {_console.counted(len(result.runs), 'seed')}")
    if result.expected is not None:
        same = "identical weights" if result.identical else "different weights"
        _console.say(f"the recipe states {wording.percent(result.expected, 2)}: {same}")
    if result.forgetting is not None:
        _print_forgetting(result.forgetting)
    if agreed:
        _console.say(f"verified: {agreed}")


def _print_forgetting(forgetting: Forgetting) -> None:
    from advisor.cli import _console

    similarity = f"CKA {forgetting.cka:.3f} to the start" if forgetting.cka is not None else "they do not vary"
    neighbours = f"{wording.percent(forgetting.neighbours, 0)} of the nearest neighbours kept"
    _console.say(f"features: {similarity}, {neighbours}, on {_console.counted(forgetting.images, 'image')}")
    if forgetting.source is None:
        _console.say(f"accuracy on the pretraining classes: not measured, {forgetting.source_reason}")
        return
    after, before = wording.percent(forgetting.source.after), wording.percent(forgetting.source.before)
    _console.say(
        f"accuracy on the pretraining classes: {after}, before training {before} "
        f"({_console.counted(forgetting.source.images, 'image')} at {forgetting.source.size_px} px)"
    )
    for blend in forgetting.blends:
        _console.say(f"  {blend.share:4.2f} of the way from old to new weights: {wording.percent(blend.source)}")
