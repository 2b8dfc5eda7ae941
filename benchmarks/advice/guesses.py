"""What a guess brings over the frozen probe: log-loss after training over the log-loss of the ridge probe beside it.

    python benchmarks/advice/guesses.py [--only NAME ...] [--data DIR] [--to DIR]

One fold of five, seed 0, MobileNetV2; each guess in full, for the same images. The table is what
`advisor/tuning/expected_loss.py` expects before anything was measured, and what the first guesses'
rates and lengths were chosen from.
Does NOT cover: the search (regret.py), the test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ledger

from advisor import registry
from advisor.data import dataset, subsample
from advisor.execution import trial, worker
from advisor.execution.resources import Resources
from advisor.records import Candidate, Settings
from advisor.records.messages import RunTrial

GENTLE = {"optimizer": "adamw", "norm": "frozen"}


@dataclass(frozen=True)
class Place:
    """A data set, how many of its images, and the input size."""

    name: str
    folder: str
    images: int
    size_px: int


PLACES = (
    Place("sketch", "pacs/sketch", 1000, 96),
    Place("sketch", "pacs/sketch", 1000, 128),
    Place("five_flowers", "five_flowers", 1000, 96),
    Place("five_flowers", "five_flowers", 1000, 128),
    Place("cifar10", "cifar10", 1000, 96),
    Place("cifar10", "cifar10", 1500, 64),
    Place("hymenoptera", "hymenoptera", 1000, 160),
)


def guesses() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return strategies with parameters: rates by lengths, then one change at a time."""
    yield "ridge", {}
    yield "logistic", {"layers": "all"}
    for epochs in (3.0, 6.0, 10.0, 12.0):
        for rate in (3e-4, 1e-3):
            yield "full", {**GENTLE, "adam_rate": rate, "epochs": epochs}
    for change in (
        {"adam_rate": 1e-3, "norm": "trained"},
        {"adam_rate": 6e-4, "layer_decay": 0.75},
    ):
        yield "full", {**GENTLE, **change, "epochs": 10.0}
    yield "partial", {**GENTLE, "adam_rate": 3e-4, "depth": 2, "epochs": 10.0}
    for rate, epochs in ((1e-3, 3.0), (3e-3, 3.0), (1e-2, 3.0), (1e-3, 6.0)):
        yield "norm_only", {**GENTLE, "adam_rate": rate, "epochs": epochs}


def once(case: Place, strategy: str, parameters: dict[str, Any], data: Path) -> ledger.Row:
    """Train one guess on one fold and give its row."""
    data_set = dataset.read(data / case.folder)
    with tempfile.TemporaryDirectory() as outer:
        run = Path(outer)
        (run / "trials").mkdir()
        settings = Settings(data=data_set.root, seed=0, threads=1, offline=True)
        pool = subsample.stratified(data_set.pool, case.images)
        job = worker.open_job(settings, run, data_set, pool)
        resources = Resources(job, registry.load(), lambda what, done, total: None)
        candidate = Candidate(backbone="mobilenet_v2", strategy=strategy, parameters=parameters, size_px=case.size_px)
        order = RunTrial(number=0, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)
        done = trial.run(resources, order, lambda progress: None)
    if done.state != "complete":
        raise RuntimeError(done.error)
    return {"accuracy": done.accuracy, "log_loss": done.log_loss, "n": done.scores[0].n}


def line(strategy: str, parameters: dict[str, Any], rows: list[ledger.Row]) -> list[str]:
    """Summarise one guess on all places: accuracy, and log-loss over the ridge probe's."""
    shown = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in parameters.items())
    cells = [f"{strategy} ({shown})" if shown else strategy]
    for case in PLACES:
        here = {"data": case.name, "images": case.images, "size_px": case.size_px}
        own = [r for r in rows if all(r[k] == v for k, v in here.items())]
        mine = next((r for r in own if (r["strategy"], r["parameters"]) == (strategy, parameters)), None)
        probe = next((r for r in own if r["strategy"] == "ridge"), None)
        cells.append(f"{mine['accuracy']:.3f} ({mine['log_loss'] / probe['log_loss']:.2f})" if mine and probe else "-")
    return cells


def main() -> None:
    """Train the guesses that are missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="a data set (repeatable)")
    parser.add_argument("--data", type=Path, default=ledger.ROOT / ".scratch" / "data")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "guesses")
    for strategy, parameters in guesses():
        for case in () if args.table else PLACES:
            facts = {"data": case.name, "images": case.images, "size_px": case.size_px}
            facts = {**facts, "strategy": strategy, "parameters": parameters}
            if (args.only and case.name not in args.only) or book.has(**facts):
                continue
            ledger.unpacked(case.folder.split("/")[0], args.data)
            book.add({**facts, **once(case, strategy, parameters, args.data)})
    titles = ["guess", *(f"{p.name}, {p.images:,}, {p.size_px} px" for p in PLACES)]
    lines = [line(s, p, book.rows) for s, p in guesses()]
    ledger.publish("guesses", ledger.table(titles, [cells for cells in lines if set(cells[1:]) != {"-"}]))


if __name__ == "__main__":
    sys.exit(main())
