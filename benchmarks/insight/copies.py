"""How many altered copies are found as duplicates, by kind, and which pairs are reported among the originals alone.

Command: python benchmarks/insight/copies.py FOLDER [FOLDER ...] --to DIR [--images 60] [--seed 0]

For each folder (any layout that tl-advise reads) and each kind, copies of `--images` random images are written and
searched for among all images of the folder, in one search over all kinds. Found: the copy is in one set with its original.
Mistaken: it is in a set with another image of the folder, in none of whose sets its original is. Own: the sets of images of
the folder itself, by kind, to be looked at (DIR/NAME.json lists them). A folder whose result is in DIR is not measured
again. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from advisor.data import dataset, duplicates, images
from advisor.records import DuplicateGroup, Item

Maker = Callable[[Image.Image, np.random.Generator], Image.Image]


def crop(removed: float) -> Maker:
    """Return a maker that removes a share of the area, at a random place and with a random shape."""

    def make(image: Image.Image, draws: np.random.Generator) -> Image.Image:
        share = 1.0 - removed
        across = float(np.exp(draws.uniform(np.log(share), 0.0)))
        width, height = round(image.width * across), round(image.height * share / across)
        left, top = int(draws.integers(0, image.width - width + 1)), int(draws.integers(0, image.height - height + 1))
        return image.crop((left, top, left + width, top + height))

    return make


def mirrored(image: Image.Image, draws: np.random.Generator) -> Image.Image:
    """Return the mirror image."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


KINDS: dict[str, Maker] = {
    "crop 3 %": crop(0.03),
    "crop 10 %": crop(0.10),
    "crop 20 %": crop(0.20),
    "crop 30 %": crop(0.30),
    "mirror": mirrored,
    "mirror, crop 10 %": lambda image, draws: crop(0.10)(mirrored(image, draws), draws),
    "JPEG 50": lambda image, draws: image,
    "half size": lambda image, draws: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
}
QUALITY = {"JPEG 50": 50}


def read(folder: Path, split: str) -> list[Item]:
    """Read the items of a folder, with absolute paths."""
    data = dataset.read(folder, test_split="none")
    return [dataclasses.replace(i, path=str(Path(data.root) / i.path), label=0, split=split) for i in data.items]


def write_copies(items: Sequence[Item], folder: Path, count: int, seed: int) -> dict[str, tuple[str, str]]:
    """Write copies of different images for each kind, and return (kind, path of the original) by path."""
    draws = np.random.default_rng(seed)
    order = draws.permutation([row for row, item in enumerate(items) if min(item.width, item.height) >= 64])
    count = min(count, len(order) // len(KINDS))
    origins = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        for row in order[number * count : (number + 1) * count]:
            original = items[int(row)].path
            path = folder / "ab"[len(origins) % 2] / f"{len(origins):05d}.jpg"
            path.parent.mkdir(exist_ok=True)
            image = images.open_rgb(Path(original).read_bytes())
            make(image, draws).save(path, quality=QUALITY.get(kind, 90))
            origins[str(path)] = (kind, original)
    return origins


def groups_of(items: Sequence[Item]) -> tuple[DuplicateGroup, ...]:
    """Search as the product does."""
    small, _ = duplicates.thumbnails("/", items)
    return duplicates.similar("/", items, small)


def measured(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Measure one folder."""
    originals = read(folder, "pool")
    with tempfile.TemporaryDirectory() as temporary:
        origins = write_copies(originals, Path(temporary), count, seed)
        copies = read(Path(temporary), "test")
        groups = groups_of([*originals, *copies])
    partners: dict[str, set[str]] = {}
    for group in groups:
        for path in group.paths:
            partners.setdefault(path, set()).update(group.paths)
    hits, mistaken, total = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for path, (kind, original) in origins.items():
        total[kind] += 1
        hits[kind] += original in partners.get(path, ())
        strangers = {other for other in partners.get(path, set()) if other not in origins} - {original}
        mistaken[kind] += bool(strangers - partners.get(original, set()))
    own = {item.path for item in originals}
    among = [(g.kind, [p for p in g.paths if p in own]) for g in groups]
    listed = [[kind, paths] for kind, paths in among if len(paths) > 1]
    return {
        "images": len(originals),
        "copies": total,
        "found": hits,
        "mistaken": mistaken,
        "originals": {kind: sum(k == kind for k, _ in listed) for kind in ("near", "crop", "mirror")},
        "sets": listed,
    }


def row(name: str, result: dict[str, Any]) -> str:
    """Return a row of the table."""
    shares = [f"{result['found'][k]}/{result['copies'][k]}" for k in KINDS]
    own = [str(result["originals"][k]) for k in ("near", "crop", "mirror")]
    return (
        "| " + " | ".join([name, f"{result['images']:,}", *shares, str(sum(result["mistaken"].values())), *own]) + " |"
    )


def main() -> None:
    """Measure what is not yet measured, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    call = parser.parse_args()
    call.to.mkdir(parents=True, exist_ok=True)
    titles = ["data", "images", *KINDS, "mistaken", "own near", "own crops", "own mirrors"]
    print("| " + " | ".join(titles) + " |")
    print("|" + "---|" * len(titles))
    for folder in call.folders:
        name = folder.resolve().name
        path = call.to / f"{name}-{call.images}-{call.seed}.json"
        if not path.exists():
            path.write_text(json.dumps(measured(folder, call.images, call.seed), indent=1))
        print(row(name, json.loads(path.read_text())), flush=True)


if __name__ == "__main__":
    main()
