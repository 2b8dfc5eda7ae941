"""Which frozen features and which head: `python benchmarks/heads/run.py` writes its table into docs/strategies.md.

For each data set and backbone with shared weights: ridge and logistic regression on the last stage's or all stages'
pooled features, with and without the mirror image's features averaged in; strengths are chosen on the training part
alone. Splits: the given one where there is one, else `--seeds` stratified draws. Features are cached as usual.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "advice"))

import ledger

if TYPE_CHECKING:
    from advisor.hooks import Backbone
    from advisor.models.features import Pooled
    from advisor.records import Item

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("TL_ADVISE_SHARED", ROOT.parent / "shared" / "data"))
os.environ.setdefault("TORCH_HOME", str(SHARED / "torch_home"))
RESULTS = ROOT / "benchmarks" / "results" / "heads.json"
# name, folder inside it, input size, training images (None: the given split)
SETS = (
    ("hymenoptera", "", 224, None),
    ("five_flowers", "", 128, 1000),
    ("pacs", "sketch", 128, 680),
    ("flowers102", "", 96, 1020),
    ("cifar10", "", 96, 1000),
)
TEST_AT_MOST = 2000


def split(labels: npt.NDArray[np.int64], train: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw `train` stratified training rows and up to TEST_AT_MOST test rows."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    rest = min(TEST_AT_MOST, len(labels) - train)
    a, b = train_test_split(rows, train_size=train, test_size=rest, stratify=labels, random_state=seed)
    return a, b


def scores(name: str, inside: str, size_px: int, train: int | None, backbone_name: str, seeds: int, to: Path) -> dict:
    """Score every variant on one data set with one backbone: variant -> list of test accuracies."""
    from advisor import registry
    from advisor.data import dataset, subsample
    from advisor.heads import fitting, outputs
    from advisor.models import features
    from advisor.records import Head

    data_set = dataset.read(to / name / inside)
    items = subsample.stratified(data_set.items, 6000) if train else data_set.items
    backbone = registry.load().backbone(backbone_name)
    pooled = {flip: extracted(backbone, data_set.root, items, size_px, flip) for flip in (False, True)}
    labels = np.array([i.label for i in items])
    given = np.array([i.split == "test" for i in items])
    names = [s.name for s in backbone.stages]
    out: dict[str, list[float]] = {}
    for seed in range(seeds if train else 1):
        a, b = split(labels, train, seed) if train else (np.flatnonzero(~given), np.flatnonzero(given))
        for layers in ("last", "all"):
            for mirror in (False, True):
                x = features.select(pooled[False], layers, names)
                if mirror:
                    x = (x + features.select(pooled[True], layers, names)) / 2
                for kind in ("ridge", "logistic"):
                    blocks = features.blocks(pooled[False], layers)
                    head = fitting.fit(
                        Head(kind=kind, layers=layers), x[a], labels[a], len(data_set.classes), blocks=blocks
                    )
                    right = outputs.predict(head, x[b]).argmax(1) == labels[b]
                    variant = f"{kind}, {layers}{', mirror' if mirror else ''}"
                    out.setdefault(variant, []).append(float(right.mean()))
    return {"n": len(b), "train": len(a), "scores": out}


def extracted(backbone: Backbone, root: str, items: Sequence[Item], size_px: int, flip: bool) -> Pooled:
    """Return every stage's pooled features of the items, or of their mirror images; cached as usual."""
    from advisor.data import pixels
    from advisor.models import backbone as backbones
    from advisor.models import features, pretrained_weights
    from advisor.records import ForwardSpec
    from advisor.runtime import cache, device

    tensors, digest, _ = pretrained_weights.read(backbone, pretrained_weights.locate(backbone, offline=True))
    canvas, _ = pixels.canvas(root, items, pixels.rule_for(backbone.preprocess, size_px, "crop"), store=cache.Store())
    return features.extract(
        backbone,
        backbones.build(backbone, tensors),
        canvas,
        ForwardSpec(backbone.preprocess, size_px, device.choose("cpu", backbone)),
        weights_key=digest,
        item_key=hashlib.sha256("".join(sorted(i.sha256 for i in items)).encode()).hexdigest(),
        store=cache.Store(),
        flip=flip,
    )


def main() -> None:
    """Fill in what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / ".scratch" / "data", help="where the data sets are unpacked")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbones", nargs="+", default=["mobilenet_v2", "squeezenet1_1", "pocket"])
    arguments = parser.parse_args()
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for backbone in arguments.backbones:
        for name, inside, size_px, train in SETS:
            entry = f"{backbone} {name}{'/' + inside if inside else ''} {size_px} px"
            if entry in stored:
                continue
            unpack = [sys.executable, str(SHARED / "unpack.py"), name, "--to", str(arguments.to)]
            subprocess.run(unpack, check=True, stdout=subprocess.DEVNULL)
            stored[entry] = scores(name, inside, size_px, train, backbone, arguments.seeds, arguments.to)
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(stored, indent=1), encoding="utf-8")
    ledger.publish("heads", table(stored), ROOT / "docs" / "strategies.md")


def table(stored: dict[str, dict]) -> str:
    """Return test accuracies in percent: a row a backbone, data set and input size, a column a head and its features."""
    variants = list(next(iter(stored.values()))["scores"])
    lines = []
    for entry, row in stored.items():
        cells = [f"{100 * statistics.fmean(row['scores'][variant]):.1f}" for variant in variants]
        draws = len(row["scores"][variants[0]])
        lines.append([entry, f"{row['train']:,} / {row['n']:,}", str(draws) if draws > 1 else "given", *cells])
    return ledger.table(["backbone, data, input", "train / test", "splits", *variants], lines)


if __name__ == "__main__":
    main()
