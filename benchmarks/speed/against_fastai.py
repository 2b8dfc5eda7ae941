"""Against fast.ai (fastai_script.py), with the same MobileNetV2 weights, cores and images, over repeated splits.

A row: one data set and split. fast.ai trains as its tutorial does and is scored on test/ after every epoch; the product
gets fast.ai's whole time as its budget and the same split. Compared: when the product's model on disk first reaches
fast.ai's final accuracy, and both accuracies at fast.ai's end. Needs fast.ai in an environment of its own: name its
interpreter with --fastai-python or TL_ADVISE_FASTAI.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import ledger
import numpy as np
import race

CELLS = {  # epochs, input size, images a step, how many times as fast the product should be
    "hymenoptera": {"epochs": 5, "size": 224, "batch": 16, "aim": 10},
    "five_flowers": {"epochs": 5, "size": 128, "batch": 32, "aim": 3},
}
PAGE = ledger.ROOT / "docs" / "speed.md"


def folder(name: str, split: int, args: argparse.Namespace) -> Path:
    """Write train/ and test/ as links: the given split where there is one, else a stratified fifth drawn by `split`."""
    from sklearn.model_selection import train_test_split

    from advisor.data import dataset

    links: Path = args.work / f"fastai-{name}-{split}"
    if links.exists():
        return links
    data_set = dataset.read(ledger.unpacked(name, args.data))
    labels = np.array([item.label for item in data_set.items])
    rows = np.arange(len(labels))
    test = np.flatnonzero([item.split == "test" for item in data_set.items])
    if data_set.split.rule != "given" or split:
        _, test = train_test_split(rows, test_size=0.2, stratify=labels, random_state=split)
    chosen = set(test.tolist())
    waiting = links.with_suffix(".new")
    for row, item in enumerate(data_set.items):
        side = "test" if row in chosen else "train"
        link = waiting / side / data_set.classes[item.label] / f"{row:05d}{Path(item.path).suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to((Path(data_set.root) / item.path).resolve())
    waiting.rename(links)
    return links


def measure(name: str, split: int, args: argparse.Namespace) -> dict[str, Any]:
    """Run fast.ai, then the product with fast.ai's whole time."""
    data, cell = folder(name, split, args), CELLS[name]
    call = [args.fastai_python, str(Path(__file__).with_name("fastai_script.py")), str(data), "--seed", str(split)]
    for option in ("epochs", "size", "batch"):
        call += [f"--{option}", str(cell[option] if option != "epochs" else args.epochs or cell[option])]
    theirs = race.script([*call, "--threads", str(args.threads)])
    took, target = theirs[-1]["at_s"], theirs[-1]["test"]
    ours = race.product(data, args.work, max(took, 20.0), ["--backbone", "mobilenet_v2"], args.threads)
    in_time = [p for p in ours if p["at_s"] <= took]
    return {
        "fastai_s": round(took, 1),
        "target": target,
        "best": max(line["test"] for line in theirs),
        "product_s": race.reached(ours, target),
        "product_at_their_end": in_time[-1]["test"] if in_time else None,
        "final": ours[-1],
        "theirs": theirs,
        "ours": ours,
    }


def publish() -> None:
    """Write the table."""
    rows = [r for r in ledger.Ledger(ledger.RESULTS, "speed").rows if r["part"] == "fastai"]
    lines = []
    for r in rows:
        ratio = r["product_s"] / r["fastai_s"] if r["product_s"] else None
        lines.append(
            [
                f"{r['data']}, split {r['split']}",
                f"{r['target']:.3f} after {r['fastai_s']:.0f} s (best {r['best']:.3f})",
                f"{r['product_s']:.1f} s" if ratio else "not reached",
                f"1/{1 / ratio:.1f}" if ratio else "",
                f"1/{CELLS[r['data']]['aim']}",
                f"{r['product_at_their_end']:.3f}" if r["product_at_their_end"] is not None else "nothing yet",
                f"{r['final']['test']:.3f} after {r['final']['at_s']:.0f} s ({r['final']['strategy']})",
                str(r["final"]["n"]),
            ]
        )
    text = ledger.table(
        [
            "data",
            "fast.ai's end",
            "product there",
            "of its time",
            "aim",
            "product at fast.ai's end",
            "its own end",
            "test n",
        ],
        lines,
    )
    ledger.publish("fastai", text + "".join(_means(rows)) + f"\n{ledger.machine()}.\n", PAGE)


def _means(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for name in dict.fromkeys(r["data"] for r in rows):
        both = [(r["product_at_their_end"], r["target"]) for r in rows if r["data"] == name]
        both = [(ours, theirs) for ours, theirs in both if ours is not None]
        if len(both) > 1:
            gains = [ours - theirs for ours, theirs in both]
            lines.append(
                f"\n{name}: at fast.ai's end {statistics.fmean(o for o, _ in both):.3f} against "
                f"{statistics.fmean(t for _, t in both):.3f} on average over {len(both)} splits; difference "
                f"{statistics.fmean(gains):+.3f} ± {statistics.stdev(gains):.3f} (standard deviation).\n"
            )
    return lines


def main(arguments: list[str]) -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(prog="run.py fastai", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(CELLS))
    parser.add_argument("--splits", type=int, default=3, help="of sets without a given split; the given one runs once")
    parser.add_argument("--epochs", type=int, help="other than the cell's own, for trying out")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fastai-python", default=os.environ.get("TL_ADVISE_FASTAI", "python-with-fastai"))
    parser.add_argument("--data", type=Path, default=ledger.ROOT / ".scratch" / "data")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-speed")
    args = parser.parse_args(arguments)
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(ledger.RESULTS, "speed")
    for name in args.only or CELLS:
        for split in range(1 if name == "hymenoptera" else args.splits):
            key = {"part": "fastai", "data": name, "split": split}
            if not book.has(**key):
                book.add({**key, "threads": args.threads, **measure(name, split, args)})
    publish()
