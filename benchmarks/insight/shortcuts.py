"""Whether a pasted marker is what the maps point at, and whether the warning about shortcuts fires, and only then.

    python benchmarks/insight/shortcuts.py FOLDER --backbone mobilenet_v2 --size 128 --images 60

FOLDER holds a folder per class. A ridge head is fitted on 70 % of the images; 8 rightly classified others of each class are
looked at, once as they are and once with a marker in every image of the second class. Weights come from the cache.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from advisor import registry
from advisor.data import pixels
from advisor.features import extract_features
from advisor.heads import fit, predict
from advisor.insight import attention, shortcuts
from advisor.models import backbone as backbones
from advisor.models import pretrained_weights
from advisor.models.classifier import Classifier
from advisor.models.predictor import Predictor
from advisor.records import Head

SHOWN = 8


def read(folder: Path, rule: pixels.PixelRule, size: int, images: int) -> tuple[Any, Any]:
    """Read squares (N, S, S, 3) and labels of the first images of each class."""
    squares, labels = [], []
    for label, kind in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for path in sorted(kind.glob("*.jp*g"))[:images]:
            squares.append(pixels.decode(path.read_bytes(), rule))
            labels.append(label)
    canvas = np.stack(squares)
    return (canvas if canvas.shape[1] == size else np.ascontiguousarray(pixels.centre(canvas, size))), np.array(labels)


def marked(squares: Any, labels: Any, side: int) -> tuple[Any, dict[int, tuple[int, int]]]:
    """Paste a marker at a random place into every image of the second class; return the places."""
    result, corners, draws = squares.copy(), {}, np.random.default_rng(0)
    for row in np.flatnonzero(labels == 1):
        top, left = (int(v) for v in draws.integers(0, squares.shape[1] - side, 2))
        result[row, top : top + side, left : left + side] = (250, 0, 250)
        result[row, top + side // 4 : top + side // 2, left : left + side] = (0, 255, 0)
        corners[int(row)] = top, left
    return result, corners


def main() -> None:
    """Print one line per class, clean and marked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=60)
    args = parser.parse_args()
    backbone = registry.load().backbone(args.backbone)
    tensors = pretrained_weights.read(backbone, pretrained_weights.locate(backbone, offline=True))[0]
    body = backbones.build(backbone, tensors)
    squares, labels = read(args.folder, pixels.rule_for(backbone.preprocess, args.size, "crop"), args.size, args.images)
    side = args.size // 6
    for name, (canvas, corners) in {"clean": (squares, {}), "marked": marked(squares, labels, side)}.items():
        values = extract_features(backbone, canvas, module=body, size_px=args.size)
        order = np.random.default_rng(1).permutation(len(labels))
        train, held = order[: int(0.7 * len(order))], order[int(0.7 * len(order)) :]
        head = fit(Head(kind="ridge"), values[train], labels[train], int(labels.max()) + 1)
        right = held[predict(head, values[held]).argmax(1) == labels[held]]
        model = Predictor(Classifier(backbone, body, head), (), backbone.preprocess, args.size, "crop", 1.0, {})

        def classify(images: Any, head: Any = head) -> Any:
            return predict(head, extract_features(backbone, images, module=body, size_px=args.size)).argmax(1)

        for label in range(int(labels.max()) + 1):
            own, others = right[labels[right] == label][:SHOWN], right[labels[right] != label][:SHOWN]
            maps = attention.maps(model, canvas[own], labels[own])
            influence = shortcuts.measure(classify, label, canvas[own], maps, canvas[others])
            peaks = [np.unravel_index(int(one.argmax()), one.shape) for one in maps]
            inside = [
                all(at - side // 2 <= p < at + side + side // 2 for p, at in zip(peak, corners[int(row)], strict=True))
                for peak, row in zip(peaks, own, strict=True)
                if int(row) in corners
            ]
            row = {"set": name, "class": label, "transplanted": influence.transplanted, "warns": influence.is_shortcut}
            print(json.dumps({**row, "images": len(own), "peaks_in_marker": sum(inside)}), flush=True)


if __name__ == "__main__":
    main()
