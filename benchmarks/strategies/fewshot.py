"""Few-shot heads on frozen features: 5-way 1- and 5-shot on the classes of Flowers-102, 600 episodes.

    python benchmarks/strategies/fewshot.py --data FLOWERS_FOLDER --out rows.jsonl [--size 128] [--backbone NAME ...]

Resumable: every finished (backbone, shots, head) is a line of the file; the table is printed at the end. Training and
validation images (20 a class) are used, the locked test stays shut. Heads of different strength are shown side by side,
since an episode cannot choose one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from rows import Rows

from advisor.data import splits
from advisor.models import features
from advisor.records import Head, Settings
from advisor.training import episodes
from advisor.workflows import fewshot
from advisor.workflows.session import open_session

HEADS = {
    "prototypes, cosine": Head(kind="cosine_prototypes"),
    "prototypes, Euclidean": Head(kind="prototypes"),
    "nearest neighbour": Head(kind="knn", numbers={"k": 1}),
    "5 neighbours": Head(kind="knn", numbers={"k": 5, "temperature": 0.07}),
    "ridge 0.001": Head(kind="ridge", numbers={"strength": 0.001}),
    "ridge 0.1": Head(kind="ridge", numbers={"strength": 0.1}),
    "ridge 1": Head(kind="ridge", numbers={"strength": 1.0}),
    "logistic 0.0001": Head(kind="logistic", numbers={"c": 1e-4}),
    "logistic 0.01": Head(kind="logistic", numbers={"c": 1e-2}),
    "logistic 1": Head(kind="logistic", numbers={"c": 1.0}),
}
LAYERS = ("last", "all")
WAYS, QUERIES, EPISODES = 5, 15, 600


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--backbone", action="append")
    parser.add_argument("--threads", type=int, help="CPU threads, all cores by default")
    asked = parser.parse_args()
    rows = Rows(asked.out)
    for backbone in asked.backbone or ["mobilenet_v2"]:
        missing = [
            (shots, layers, name)
            for shots in (1, 5)
            for layers in LAYERS
            for name in HEADS
            if not rows.has(key(asked, backbone, shots, layers, name))
        ]
        if missing:
            run(asked, backbone, missing, rows)
    print_table(rows, asked)


def key(asked: argparse.Namespace, backbone: str, shots: int, layers: str, name: str) -> dict[str, object]:
    """Return what one line of the file is about."""
    return {"backbone": backbone, "size": asked.size, "shots": shots, "layers": layers, "head": name}


def run(asked: argparse.Namespace, backbone: str, missing: list[tuple[int, str, str]], rows: Rows) -> None:
    """Compute features once, then every head on the same episodes."""
    settings = Settings(
        data=str(asked.data), backbones=(backbone,), size_px=asked.size, offline=True, threads=asked.threads
    )
    session = open_session(settings)
    pooled = session.resources.pooled(session.backbone, session.size_px)
    names = [s.name for s in session.backbone.stages]
    for shots, layers, name in missing:
        drawn = episodes.draw(
            session.resources.labels,
            session.resources.ids,
            ways=WAYS,
            shots=shots,
            queries=QUERIES,
            count=EPISODES,
            seed=0,
            groups=splits.groups_of(session.resources.job.items),
        )
        values = features.select(pooled, layers, names)
        reached = fewshot.score(HEADS[name], values, drawn, features.blocks(pooled, layers))
        low, high = fewshot.interval(reached)
        rows.add(key(asked, backbone, shots, layers, name), accuracy=float(reached.mean()), low=low, high=high)
        print(f"{backbone} {shots}-shot {layers} {name}: {reached.mean():.3f} [{low:.3f} .. {high:.3f}]", flush=True)


def print_table(rows: Rows, asked: argparse.Namespace) -> None:
    """Print a line a head, a column a number of shots and kind of features."""
    for backbone in dict.fromkeys(r["key"]["backbone"] for r in rows.rows):
        by_setting = {
            (r["key"]["shots"], r["key"]["layers"], r["key"]["head"]): r
            for r in rows.rows
            if (r["key"]["backbone"], r["key"]["size"]) == (backbone, asked.size)
        }
        print(f"\n{backbone} at {asked.size} px\n")
        print("| head | 1 shot, last stage | 1 shot, all stages | 5 shots, last stage | 5 shots, all stages |")
        print("|---|---|---|---|---|")
        for name in HEADS:
            cells = [by_setting.get((shots, layers, name)) for shots in (1, 5) for layers in LAYERS]
            shown = [f"{c['accuracy']:.3f} ± {(c['high'] - c['low']) / 2:.3f}" if c else "-" for c in cells]
            print(f"| {name} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
