"""A stratified fifth of the training images held out, for rivals that want the validation set named."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from protocol import images

SHARE = 0.2


def split(folder: str, seed: int) -> dict[str, list[Path]]:
    """Return {"train": files, "val": files}; every class keeps an image on either side where it has two."""
    by_class: dict[str, list[Path]] = defaultdict(list)
    for path in images(folder):
        by_class[path.parent.name].append(path)
    parts: dict[str, list[Path]] = {"train": [], "val": []}
    for name in sorted(by_class):
        files = sorted(by_class[name])
        random.Random(f"{seed} {name}").shuffle(files)
        count = max(1, round(SHARE * len(files))) if len(files) > 1 else 0
        parts["val"] += files[:count]
        parts["train"] += files[count:]
    return parts
