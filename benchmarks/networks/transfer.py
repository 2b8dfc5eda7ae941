"""Compare networks and ways of training them on a sample of a data set, at equal epochs.

    python benchmarks/networks/transfer.py --data FOLDER --out rows.jsonl --backbone NAME ... [--strategy NAME ...]

Trains on `--train` images and scores `--test` others, drawn by the seed, with each strategy's first guess. `--each N`
takes the first N images of every class only. Resumable: every finished cell is a line of the file. `--table` prints the
means of a file instead. Seconds of a frozen pass are those of the images that are scored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "strategies"))
from rows import Rows

from advisor.execution import trainer
from advisor.models import weight_sources
from advisor.records import Settings
from advisor.registry import load
from advisor.workflows import session as sessions


def main() -> None:
    """Run what is missing, and print each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--name", help="of the data in the file (default: the folder's)")
    parser.add_argument("--each", type=int, help="images of every class (default: all)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--backbone", action="append", default=[])
    parser.add_argument("--strategy", action="append", default=[])
    parser.add_argument("--weights", metavar="NAME=FILE", help="a file of weights for one of the backbones")
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--test", type=int, default=300)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    rows = Rows(args.out)
    if args.table:
        table(rows)
        return
    args.name = args.name or args.data.name
    with tempfile.TemporaryDirectory() as temporary:
        if args.each:
            args.data = sample(args.data, args.each, Path(temporary) / args.name)
        fill(args, rows)


def fill(args: argparse.Namespace, rows: Rows) -> None:
    """Run the cells that have no line."""
    folder = None
    if args.weights:
        name, _, file = args.weights.partition("=")
        folder = str(weight_sources.link(load().backbone(name), file))
    for backbone in args.backbone:
        for strategy in args.strategy or ("ridge", "partial", "full"):
            for seed in range(args.seeds):
                key = {"data": args.name, "backbone": backbone, "strategy": strategy, "seed": seed}
                key |= {"size": args.size, "epochs": args.epochs, "train": args.train}
                if not rows.has(key):
                    numbers = cell(args, backbone, strategy, seed, folder)
                    rows.add(key, **numbers)
                    print(key, numbers, flush=True)


def sample(folder: Path, each: int, to: Path) -> Path:
    """Link the first images of every class into a new folder."""
    for label in sorted(p for p in folder.iterdir() if p.is_dir()):
        (to / label.name).mkdir(parents=True)
        for file in sorted(label.iterdir())[:each]:
            (to / label.name / file.name).symlink_to(file.resolve())
    return to


def table(rows: Rows) -> None:
    """Print mean accuracy and its standard deviation over seeds, one line per backbone and strategy."""
    cells: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    for row in rows.rows:
        key = row["key"]
        line = cells.setdefault((key["backbone"], key["strategy"], key["size"]), {})
        line.setdefault(key["data"], []).append(100 * row["accuracy"])
    names = sorted({name for line in cells.values() for name in line})
    print("| network | strategy | px | " + " | ".join(names) + " |")
    print("|---|---|---|" + "---|" * len(names))
    for (backbone, strategy, size), line in sorted(
        cells.items(), key=lambda item: (item[0][2], item[0][1], item[0][0])
    ):
        texts = [
            f"{np.mean(v):.1f} ± {np.std(v, ddof=min(1, len(v) - 1)):.1f}" if (v := line.get(n)) else "-" for n in names
        ]
        print(f"| {backbone} | {strategy} | {size} | " + " | ".join(texts) + " |")


def cell(args: argparse.Namespace, backbone: str, strategy: str, seed: int, folder: str | None) -> dict[str, float]:
    """Train and score one candidate."""
    settings = Settings(
        data=str(args.data),
        test_split="none",
        backbones=(backbone,),
        size_px=args.size,
        offline=True,
        threads=1,
        weights_dir=folder,
    )
    session = sessions.open_session(settings)
    given = {} if strategy in ("ridge", "logistic") else {"epochs": args.epochs}
    candidate = sessions.make_candidate(session, strategy, given)
    resources = session.resources
    order = np.random.default_rng(seed).permutation(len(resources.labels))
    train, test = np.sort(order[: args.train]), np.sort(order[args.train : args.train + args.test])
    plan = resources.plan(candidate, train)
    start = time.monotonic()
    classifier = trainer.classifier_for(resources, candidate, plan, train, seed)
    if plan.phases:
        loop = trainer.train_loop(resources, candidate, plan, classifier, train, seed)
        list(loop.run())
        classifier = loop.finish()
    trained_s = time.monotonic() - start
    start = time.monotonic()
    logits = trainer.score_rows(resources, candidate, plan, classifier, test)
    forward_s = time.monotonic() - start
    right = float((logits.argmax(1) == resources.labels[test]).mean())
    return {
        "accuracy": right,
        "n": len(test),
        "trained_s": round(trained_s, 1),
        "forward_ms": round(1e3 * forward_s / len(test), 2),
    }


if __name__ == "__main__":
    main()
