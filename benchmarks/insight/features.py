"""Extract the features on which `benchmarks/insight/run.py` measures: MobileNetV2, 128 px, one file a data set.

    python benchmarks/insight/features.py --to DIR --images 1500 NAME=FOLDER ...

FOLDER holds a folder per class; images are drawn with seed 0, classes as they come. Weights come from TORCH_HOME.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from advisor import registry
from advisor.features import extract_features

SUFFIXES = {".jpg", ".jpeg", ".png"}


def main() -> None:
    """Write NAME.npz with X (N, D) float32, y (N,) and p (N,) paths for every folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    args = parser.parse_args()
    backbone = registry.load().backbone("mobilenet_v2")
    for spec in args.folders:
        name, _, folder = spec.partition("=")
        paths = sorted(p for p in Path(folder).glob("*/*") if p.suffix.lower() in SUFFIXES)
        chosen = sorted(np.random.default_rng(0).permutation(len(paths))[: args.images].tolist())
        paths = [paths[i] for i in chosen]
        classes = sorted({p.parent.name for p in paths})
        features = extract_features(backbone, paths, size_px=args.size, offline=True)
        labels = np.array([classes.index(p.parent.name) for p in paths])
        np.savez(args.to / f"{name}.npz", X=features, y=labels, p=np.array([str(p) for p in paths]))
        print(name, features.shape, np.bincount(labels).tolist(), flush=True)


if __name__ == "__main__":
    main()
