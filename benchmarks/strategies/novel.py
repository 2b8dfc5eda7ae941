"""Does training on base classes help on others? 5-way 1- and 5-shot on classes of Flowers-102 that nothing was trained on.

    python benchmarks/strategies/novel.py --data FLOWERS_FOLDER --out rows.jsonl [--size 128] [--seeds 3] [--limit-s 300]

61 classes are the base, 41 are tested, by a draw from the seed; 600 episodes a line, the same for all lines of a seed.
Lines: frozen features with prototypes, a linear probe and ridge; features whose last stage was trained on the base
classes by episodes, or by cross-entropy with the same rate and epochs (`partial`), both read by cosine prototypes.
Resumable: what was trained is a line of the file. The locked test stays shut.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent))
from rows import Rows

from advisor.data import splits
from advisor.models import features
from advisor.records import Head, Settings
from advisor.training import episodes
from advisor.workflows import fewshot
from advisor.workflows.session import Session, make_candidate, open_session

FROZEN = {
    "frozen, prototypes": Head(kind="cosine_prototypes"),
    "frozen, linear probe": Head(kind="logistic", numbers={"c": 1e-2}),
    "frozen, ridge": Head(kind="ridge", numbers={"strength": 0.1}),
}
TRAINED = {"episodic, prototypes": "episodic", "cross-entropy, prototypes": "partial"}
LINES = (*FROZEN, *TRAINED)
WAYS, QUERIES, EPISODES = 5, 15, 600
SHOTS, LAYERS = (1, 5), ("last", "all")


def main() -> int:
    """Run what is missing; 1 where the time was over before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=float("inf"))
    asked = parser.parse_args()
    began, rows, session = time.monotonic(), Rows(asked.out), None
    for seed in range(asked.seeds):
        for line in LINES:
            if rows.has(key(asked, seed, line, SHOTS[-1], LAYERS[-1])):
                continue
            if time.monotonic() - began > asked.limit_s:
                return 1
            session = session or open_bench(asked)
            run(session, asked, seed, line, rows)
    return 0


def key(asked: argparse.Namespace, seed: int, line: str, shots: int, layers: str) -> dict[str, object]:
    """Return what one line of the file is about."""
    return {"line": line, "seed": seed, "shots": shots, "layers": layers, "size": asked.size, "epochs": asked.epochs}


def open_bench(asked: argparse.Namespace) -> Session:
    """Open training and validation images of all classes."""
    settings = Settings(
        data=str(asked.data), backbones=("mobilenet_v2",), size_px=asked.size, offline=True, threads=asked.threads
    )
    return open_session(settings)


def run(session: Session, asked: argparse.Namespace, seed: int, line: str, rows: Rows) -> None:
    """Compute one line's features once, and score them for all shots and layers."""
    resources = session.resources
    usable = episodes.eligible(resources.labels, max(SHOTS) + QUERIES)
    groups = splits.groups_of(resources.job.items)
    parts = fewshot.split(resources.job.classes, usable, ways=WAYS, seed=seed)
    novel: npt.NDArray[np.int64] = np.flatnonzero(np.isin(resources.labels, parts.novel))
    began = time.monotonic()
    if line in FROZEN:
        head, pooled = FROZEN[line], resources.pooled(session.backbone, session.size_px)
    else:
        candidate = make_candidate(session, TRAINED[line], {"epochs": asked.epochs})
        head, pooled = fewshot.READER, fewshot.base_trained_features(session, candidate, parts.base, seed=seed)
    seconds = time.monotonic() - began
    names = [s.name for s in session.backbone.stages]
    for shots in SHOTS:
        drawn = episodes.draw(
            resources.labels[novel],
            resources.ids[novel],
            ways=WAYS,
            shots=shots,
            queries=QUERIES,
            count=EPISODES,
            seed=seed,
            groups=groups[novel],
        )
        for layers in LAYERS:
            values = features.select(pooled, layers, names)[novel]
            reached = fewshot.score(head, values, drawn, features.blocks(pooled, layers))
            low, high = fewshot.interval(reached)
            numbers = {"accuracy": float(reached.mean()), "low": low, "high": high, "seconds": round(seconds, 1)}
            rows.add(key(asked, seed, line, shots, layers), **numbers, base=len(parts.base), novel=len(parts.novel))
            print(
                f"seed {seed} {line} {shots}-shot {layers}: {reached.mean():.3f} [{low:.3f} .. {high:.3f}]", flush=True
            )


if __name__ == "__main__":
    sys.exit(main())
