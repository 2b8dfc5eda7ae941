"""Linear probes of the pocket backbone beside its teachers, its own random start, and plain pixels.

    python benchmarks/pocket/run.py [--data DIR] [--shared DIR] [--cache DIR] [--only TASK] [--speed-only]

Writes table.md and table.json beside this file; features and finished cells are cached, so a killed run goes on.
Needs the shared data sets, unpacked: `python ../shared/data/unpack.py --to DIR`. Does NOT cover: fine-tuning.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "plugins"), str(HERE.parents[1])]

import networks  # noqa: E402
import probes  # noqa: E402
from sets import TASKS, Task, labels  # noqa: E402

import advisor_pocket  # noqa: E402

ROWS = ("pocket", "pocket_random", "pixels", "squeezenet1_1", "mobilenet_v2")
NATIVE_PX = {"pocket": networks.POCKET_PX, "squeezenet1_1": 224, "mobilenet_v2": 224}
TITLES = {
    "pocket": "**pocket**",
    "pocket_random": "pocket, random weights",
    "pixels": "logistic regression on 32 px pixels",
    "squeezenet1_1": "SqueezeNet 1.1",
    "mobilenet_v2": "MobileNetV2",
}


def size_of(row: str, task: Task) -> int:
    """Input size: the pocket network's own everywhere, the ImageNet networks' by task, 32 px for pixels."""
    if row == "pixels":
        return 32
    if row.startswith("pocket"):
        return networks.POCKET_PX
    return task.squeezenet_px if row == "squeezenet1_1" else task.mobilenet_px


def by_folder(files: list[Path], places: np.ndarray) -> list[np.ndarray]:
    """Part the places by the folder of their split, so that tasks share the features of a common test set."""
    folder = np.array([str(files[index].parent.parent) for index in places])
    return [places[folder == name] for name in np.unique(folder)]


def cell(row: str, task: Task, args: argparse.Namespace) -> dict[str, float]:
    """Measure one cell: mean, spread and count over the task's splits."""
    files = task.files(args.data)
    pairs, labels_N = task.pairs(files), labels(files)
    features_ND: np.ndarray | None = None
    for places in by_folder(files, np.unique(np.concatenate([part for pair in pairs for part in pair]))):
        listed = [files[index] for index in places]
        part_ND = networks.features(row, size_of(row, task), listed, args.data, args.checkpoints, args.cache)
        if features_ND is None:  # places that no split uses stay zero
            features_ND = np.zeros((len(files), part_ND.shape[1]), part_ND.dtype)
        features_ND[places] = part_ND
    assert features_ND is not None
    fit = probes.logistic if row == "pixels" else probes.ridge
    scores = [fit(features_ND[a], labels_N[a], features_ND[b], labels_N[b]) for a, b in pairs]
    return {
        "mean": float(np.mean(scores)),
        "std": float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
        "splits": len(scores),
        "size_px": size_of(row, task),
    }


def measure(args: argparse.Namespace, stored: dict[str, dict[str, float]]) -> None:
    """Fill the cells that are missing, writing each as it comes."""
    for task in TASKS:
        if args.only and task.name not in args.only:
            continue
        for row in args.rows:
            mark = advisor_pocket.WEIGHTS_SHA256[:12] if row == "pocket" else str(size_of(row, task))
            key = f"{task.name}/{row}/{mark}"
            if key not in stored:
                stored[key] = cell(row, task, args)
                args.cells.write_text(json.dumps(stored, indent=1))
            print(f"{key}: {stored[key]['mean']:.3f} +- {stored[key]['std']:.3f}", flush=True)


def collected(stored: dict[str, dict[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    """Order the finished cells by task and row, the pocket's for the present weights only."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for task in TASKS:
        for row in ROWS:
            mark = advisor_pocket.WEIGHTS_SHA256[:12] if row == "pocket" else str(size_of(row, task))
            score = stored.get(f"{task.name}/{row}/{mark}")
            if score:
                table.setdefault(task.name, {})[row] = score
    return table


def written(number: dict[str, float] | None) -> str:
    """Write a cell as text."""
    if not number:
        return "-"
    return f"{number['mean']:.3f}" + (f" ± {number['std']:.3f}" if number["splits"] > 1 else "")


def markdown(table: dict[str, dict[str, dict[str, float]]], speed: dict[str, float], machine: str) -> str:
    """Write the table that the card shows."""
    titles = ["data (train -> test)", *(TITLES[r] for r in ROWS), "of SqueezeNet", "seen in pretraining"]
    lines = ["| " + " | ".join(titles) + " |"]
    lines.append("|---" * (len(ROWS) + 3) + "|")
    for task in TASKS:
        cells = table.get(task.name, {})
        both = {"pocket", "squeezenet1_1"} <= set(cells)
        share = cells["pocket"]["mean"] / cells["squeezenet1_1"]["mean"] if both else 0.0
        row = [task.title, *(written(cells.get(r)) for r in ROWS), f"{share:.0%}" if share else "-", task.seen]
        lines.append("| " + " | ".join(row) + " |")
    if speed:
        rates = ["-" if r not in speed else f"{speed[r]:.0f} ({NATIVE_PX[r]} px)" for r in ROWS]
        lines.append("| forward, images/s of one core | " + " | ".join(rates) + " | | |")
        quotient = speed["squeezenet1_1"] / speed["pocket"]
        lines.append(f"\nTime of one image relative to SqueezeNet 1.1 at 224 px: {quotient:.2f}.")
    inputs = "; ".join(f"{TITLES[r]} {sorted({c[r]['size_px'] for c in table.values() if r in c})} px" for r in ROWS)
    lines.append(f"\nInput sizes (by row of the table, see sets.py): {inputs.replace('**', '')}.")
    note = "± is the standard deviation over 5 seeded splits; speeds are per second of processor time on one thread"
    lines.append(f"\nMeasured on an {machine}; {note}.")
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    root = HERE.parents[1]
    shared = Path(os.environ.get("TL_ADVISE_SHARED", root / "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=shared, help="the shared data folder (weights)")
    parser.add_argument("--data", type=Path, default=root / ".scratch/data", help="where the data sets lie unpacked")
    parser.add_argument("--cache", type=Path, default=root / ".scratch/pocket", help="features and finished cells")
    parser.add_argument("--only", action="append", help="task name, repeatable")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--speed-only", action="store_true", help="measure the speeds again, use the cached cells")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.checkpoints = args.shared / "torch_home/hub/checkpoints"
    args.cache.mkdir(parents=True, exist_ok=True)
    args.cells = args.cache / "cells.json"
    return args


def main() -> int:
    """Measure what is missing and write the table."""
    args = arguments()
    torch.set_num_threads(args.threads)
    stored = json.loads(args.cells.read_text()) if args.cells.exists() else {}
    if not args.speed_only:
        measure(args, stored)
    table, speed = collected(stored), networks.speeds(NATIVE_PX, args.checkpoints)
    machine = f"{platform.machine()} CPU, torch {torch.__version__}, float32"
    (HERE / "table.md").write_text(markdown(table, speed, machine))
    record = {"weights_sha256": advisor_pocket.WEIGHTS_SHA256, "machine": machine}
    record |= {"cells": table, "images_per_s": speed}
    (HERE / "table.json").write_text(json.dumps(record, indent=1) + "\n")
    print((HERE / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
