"""`tl-advise predict`: classify images with the model of a run, decoded and resized exactly as in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    import numpy.typing as npt

    from advisor.cli._predict_output import Row
    from advisor.records import Unreadable

CHUNK = 256  # images that are in memory at once
FORMATS = ("table", "json", "csv")


@click.command(name="predict")
@click.argument("run", type=click.Path())
@click.argument("images", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="Show the K best classes."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    metavar="P",
    help='Answer "unsure" where the best probability is below P. [0]',
)
@click.option(
    "--abstain",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    metavar="RATE",
    help='Answer "unknown" where an image is unlike the training images, at this rate of false alarms, such as 0.05.',
)
@click.option("--format", "form", metavar="NAME", help="table, json or csv. [table, or the ending of --out]")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--raw-csv", is_flag=True, help="Write names into the CSV unchanged, even if a spreadsheet computes them."
)
@click.option("-o", "--out", type=click.Path(), metavar="FILE", help="Write the predictions into this file.")
@click.option("--sort-into", type=click.Path(), metavar="DIR", help="Copy every image into DIR/CLASS/.")
@click.option("--explain", type=click.Path(), metavar="DIR", help="Write where the model looks: one PNG per image.")
@_options.device()
@_options.blocked()
@click.option("--ensemble", is_flag=True, help="Use the ensemble of the run instead of its single model.")
@_options.threads()
@_options.quiet()
def command(run: str, images: Sequence[str], form: str | None, as_json: bool, quiet: bool, **call: Any) -> int:
    """Classify images with the model of a run.

    RUN is a run directory (or its recipe.yaml). IMAGES are files, folders, ZIP or TAR archives, patterns in quotes, lists
    of paths (CSV or TSV with a column called path, TXT with one path per line), or - for standard input: one image, or
    paths, one per line. Images that cannot be read are reported on standard error and skipped. Probabilities are
    calibrated. "As unlike" is the share of typical images that differ from the training set at least as much as this one;
    a small value suggests something else.

    \b
    Examples:
      tl-advise predict runs/ants photo.jpg
      tl-advise predict runs/ants new-photos/ --top 3
      tl-advise predict runs/ants new-photos/ --sort-into sorted --threshold 0.8
      tl-advise predict runs/ants new-photos/ --abstain 0.05
      tl-advise predict runs/ants new-photos/ --explain looks
      tl-advise predict runs/ants "scans/**/*.png" --out classes.csv
      find . -name "*.jpg" | tl-advise predict runs/ants -
      curl -s https://example.org/ant.jpg | tl-advise predict runs/ants -
    """
    from advisor.cli import _console, _predict_explain, _predict_inputs, _predict_output, _standalone
    from advisor.runtime import device

    form = _format(form, as_json, call["out"])
    _standalone.output_file(call["out"], (), "--out")
    chosen, skipped, unlisted = _predict_inputs.images(images)
    predictor = load_predictor(run, call["blocked"], call["ensemble"], call["threads"])
    from advisor.models.predict import check_abstain

    compute = device.choose(call["device"])
    check_abstain(predictor.index, call["abstain"])
    if call["explain"]:
        _predict_explain.check(predictor, call["explain"])
    unreadable: list[Unreadable] = [*unlisted]
    rows = _rows(predictor, chosen, {**call, "compute": compute}, unreadable, quiet)
    if call["explain"]:
        rows = _predict_explain.draw(predictor, rows, Path(call["explain"]))
    try:
        _write(rows, form, call, predictor, unreadable)
    finally:
        _warn(unreadable)
    if form == "table" or call["abstain"]:
        _predict_output.explain(predictor.index, call["abstain"], quiet=quiet)
    if skipped and not quiet:
        _console.say(f"{_console.counted(skipped, 'file')} skipped: not an image by name.", stderr=True)
    return 0


def _warn(unreadable: Sequence[Unreadable]) -> None:
    from advisor.cli import _console

    for file in unreadable:
        reason = file.reason.removeprefix(f"{file.path} cannot be read: ").rstrip(".")
        _console.say(f"warning: {file.path} cannot be read ({reason}); it is skipped.", stderr=True)


def _format(form: str | None, as_json: bool, out: str | None) -> str:
    """Choose how to write: as asked, else by the ending of --out. Raises InputError for an unknown format."""
    from advisor.errors import InputError

    if as_json:
        return "json"
    if form is None:
        ending = Path(out).suffix.lower().lstrip(".") if out else "table"
        form = ending if ending in FORMATS else "csv"
    if form not in FORMATS or (form == "table" and out):
        choices = [name for name in FORMATS if not (out and name == "table")]
        raise InputError(f"--format {form}: not possible here.", hint=f"Choose one of {', '.join(choices)}.")
    return form


def load_predictor(run: str, blocked: Sequence[str], ensemble: bool, threads: int | None = None) -> Any:
    from advisor import registry
    from advisor.models import model_files
    from advisor.runtime import device

    folder = Path(run).parent if Path(run).is_file() else Path(run)
    if not ensemble:
        model_files.read_description(folder / "model.json")  # what is wrong with it is said before torch is imported
    device.keep_freed_memory()
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    from advisor.models import ensemble_predictor, predictor

    plugins = registry.load(block=tuple(blocked))
    if ensemble:
        return ensemble_predictor.load(folder / model_files.ENSEMBLE_FOLDER, plugins)
    return predictor.load(folder, plugins)


def _rows(
    predictor: Any, chosen: Sequence[tuple[str, Any]], call: dict[str, Any], unreadable: list[Unreadable], quiet: bool
) -> Iterator[Row]:
    """Classify in chunks, so that memory is bounded however many images there are."""
    from dataclasses import replace

    from advisor.cli import _console, _predict_output

    with _console.bar(quiet or len(chosen) <= CHUNK) as progress:
        for start in range(0, len(chosen), CHUNK):
            part = chosen[start : start + CHUNK]
            answers = predictor.predict([image for _, image in part], abstain=call["abstain"], compute=call["compute"])
            by_name = {_called(image, at): (shown, image) for at, (shown, image) in enumerate(part)}
            unreadable += [
                replace(file, path=by_name.get(file.path, (file.path, None))[0]) for file in answers.unreadable
            ]
            for i, path in enumerate(answers.paths):
                best = _best(answers.decided[i], answers.probabilities[i], answers.classes, call["top"])
                shown, image = by_name.get(path, (path, path))
                unlike = None if answers.unlike is None else float(answers.unlike[i])
                is_unknown = answers.labels[i] != answers.decided[i]
                yield _predict_output.row(shown, image, best, call["threshold"], unlike, is_unknown=is_unknown)
            progress("classifying", start + len(part), len(chosen))


def _called(image: Any, position: int) -> str:
    """Return what a predictor calls an image: its path, or its position where it has none."""
    return image if isinstance(image, str) else f"#{position}"


def _best(label: str, probabilities_K: npt.NDArray[Any], classes: Sequence[str], top: int) -> list[tuple[str, float]]:
    """Return the decided class, which need not be the most probable one, then the others by probability."""
    order = sorted(range(len(classes)), key=lambda k: (classes[k] != label, -float(probabilities_K[k]), k))[:top]
    return [(classes[k], float(probabilities_K[k])) for k in order]


def _write(
    rows: Iterator[Row], form: str, call: dict[str, Any], predictor: Any, unreadable: Sequence[Unreadable]
) -> None:
    """Write the predictions, and sort the images where that is wanted. Raises InputError where there are none."""
    from advisor.cli import _predict_output as output
    from advisor.cli._predict_sorting import ClassFolders
    from advisor.errors import InputError

    classes = list(predictor.classes)
    folders = ClassFolders(Path(call["sort_into"]), classes) if call["sort_into"] else None
    top, with_unlike = min(call["top"], len(classes)), predictor.index is not None
    shown: list[Row] = []
    count = 0
    with output.destination(call["out"]) as stream:
        if form == "csv":
            rows = output.as_csv(rows, top, stream, with_unlike=with_unlike, raw=call["raw_csv"])
        for one in rows:
            count += 1
            if folders is not None:
                folders.add(one)
            if form != "csv":
                shown.append(one)
        if form == "json":
            output.as_json(shown, classes, unreadable, stream)
        if not count:  # inside: the file of --out does not take its name then
            raise InputError("none of the images can be read.", hint="See the warnings above.")
    if form == "table":
        output.as_table(shown, top, max(output.RARE, predictor.index.smallest_rate if with_unlike else 0.0))
