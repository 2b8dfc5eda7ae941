"""`tl-advise evaluate`: the model of a run on other labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options
from advisor.reporting import wording

if TYPE_CHECKING:
    from advisor.workflows.finished.evaluation import EvaluatedImages, Evaluation

SHOWN_MISTAKES = 5
SHOWN_CLASSES = 30


@click.command(name="evaluate")
@click.argument("run", type=click.Path())
@click.argument("dataset", type=click.Path())
@click.option(
    "--split",
    type=click.Choice(["all", "train", "val", "test"]),
    default="all",
    show_default=True,
    help="Score the images of this given split only.",
)
@_options.out("Folder for the tables, the page and the numbers (CSV, HTML, JSON). [not saved]")
@_options.device()
@_options.threads()
@_options.offline()
@_options.blocked()
@click.option("--ensemble", is_flag=True, help="Score the ensemble of the run instead of its single model.")
@_options.reading()
@_options.quiet()
@_options.as_json()
def command(run: str, dataset: str, split: str, out: str | None, as_json: bool, quiet: bool, **call: Any) -> int:
    """Score the model of a run on other labelled images.

    DATASET is read in any layout that `tl-advise` trains on; all of its images are scored, also where it is split. The
    scores are those of the run's own test, with intervals, beside how far these images differ from it: the share of images
    unlike the training images, other shares of the classes, classes that the model does not know.

    \b
    Examples:
      tl-advise evaluate runs/ants ./photos-of-this-year
      tl-advise evaluate runs/ants labels.csv --split test --json
      tl-advise evaluate runs/ants ./other-camera --out evaluation1
    """
    from contextlib import ExitStack

    from advisor.cli import _console
    from advisor.cli.predict import load_predictor
    from advisor.data.remote import urls
    from advisor.runtime import device
    from advisor.runtime.run_dir import RunDir

    with ExitStack() as stack:
        rundir = RunDir.create(Path(out), data=urls.public_path(dataset)) if out else None
        folder = stack.enter_context(rundir.filled()) if rundir else None
        options = _options.read_options(call)
        predictor = load_predictor(run, call["blocked"], call["ensemble"], call["threads"])
        from advisor.workflows.finished import evaluation

        compute = device.choose(call["device"])
        run_dir = Path(run).parent if Path(run).is_file() else Path(run)
        with _console.bar(quiet) as bar:
            scored = evaluation.evaluate(
                predictor,
                run_dir,
                dataset,
                split=split,
                options=options,
                access={"offline": call["offline"], "note": _console.note},
                compute=compute,
                progress=lambda done, total: bar("scoring", done, total),
            )
        if folder is not None:
            _keep(scored, folder)
    if as_json:
        _console.record_as_json(scored.evaluation)
    else:
        _print(scored.evaluation)
        if folder is not None:
            _console.command(f"page and tables: {folder / 'report.html'}")
    return 0


def _keep(scored: EvaluatedImages, folder: Path) -> None:
    from contextlib import suppress

    from advisor.reporting.pages import evaluation_page
    from advisor.runtime.atomic_file import to_json, write_atomically
    from advisor.workflows.finished import evaluation

    with suppress(OSError):  # of a run directory; nothing is trained here
        (folder / "trials").rmdir()
    evaluation.write_tables(scored, folder)
    write_atomically(folder / "evaluation.json", to_json(scored.evaluation))
    write_atomically(folder / "report.html", evaluation_page.render(scored.evaluation))
    (folder / "lock").unlink(missing_ok=True)  # what lies here now keeps others out


def _print(result: Evaluation) -> None:
    from advisor.cli import _console
    from advisor.reporting.pages import evaluation_page

    for line in evaluation_page.headline(result):
        _console.say(line)
    table = _console.listing(
        "class", "recall", "precision", "F1", "images", right=("recall", "precision", "F1", "images")
    )
    worst = sorted(result.test.per_class.items(), key=lambda item: (item[1].recall is None, item[1].recall or 0.0))
    for name, score in worst[:SHOWN_CLASSES]:
        numbers = (wording.percent(score.recall), wording.percent(score.precision), wording.percent(result.f1[name]))
        table.add_row(_console.text(name), *numbers, wording.number(score.n))
    _console.console().print(table)
    for mistake in result.mistakes[:SHOWN_MISTAKES]:
        _console.say(evaluation_page.mistake(mistake))
    for line in evaluation_page.cautions(result):
        _console.note(line)
