"""PACS photo -> sketch: source only, target statistics, MCC and DANN, some seeds each, at equal steps.

    python benchmarks/strategies/adaptation.py --data PACS_FOLDER --out rows.jsonl [--seeds 3] [--epochs 3] [--size 64]

Resumable: every finished arm and seed is a line of the file; the table is printed at the end. All photos are the source
(four fifths train, the rest is held out), all sketches the target, whose labels only score. MobileNetV2 of the cache.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from rows import Rows

from advisor.records import Settings
from advisor.workflows import adaptation
from advisor.workflows.session import Session, open_session


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--threads", type=int, help="CPU threads, all cores by default")
    asked = parser.parse_args()
    rows = Rows(asked.out)
    session = None
    for seed in range(asked.seeds):
        for arm in adaptation.ARMS:
            key = {"arm": arm, "seed": seed, "epochs": asked.epochs, "size": asked.size, "backbone": asked.backbone}
            if rows.has(key):
                continue
            session = session or open_bench(asked)
            adapted = adaptation.adapt(session, arms=(arm,), seeds=(seed,), epochs=asked.epochs)
            for run in adapted.runs:
                numbers = {"source": run.source_accuracy, "information": run.information, "target": run.target_accuracy}
                rows.add({**key, "arm": run.arm}, **numbers, steps=adapted.steps)
                print(f"{run.arm}, seed {seed}: {numbers}", flush=True)
    print_table(rows, asked)


def open_bench(asked: argparse.Namespace) -> Session:
    """Open photos as the source and sketches as the target."""
    settings = Settings(
        data=str(asked.data / "photo"),
        test_split="none",
        backbones=(asked.backbone,),
        size_px=asked.size,
        offline=True,
        threads=asked.threads,
    )
    return open_session(settings, target=str(asked.data / "sketch"))


def print_table(rows: Rows, asked: argparse.Namespace) -> None:
    """Print mean and spread over seeds of every arm."""
    own = [r for r in rows.rows if (r["key"]["epochs"], r["key"]["size"]) == (asked.epochs, asked.size)]
    print("| arm | seeds | held-out source | information | target, mean [min .. max] |\n|---|---|---|---|---|")
    for arm in dict.fromkeys(r["key"]["arm"] for r in own):
        mine = [r for r in own if r["key"]["arm"] == arm]
        source, information, target = (
            np.array([r[name] for r in mine]) for name in ("source", "information", "target")
        )
        print(
            f"| {arm} | {len(mine)} | {source.mean():.3f} | {information.mean():.2f} | "
            f"{target.mean():.3f} [{target.min():.3f} .. {target.max():.3f}] |"
        )


if __name__ == "__main__":
    main()
