"""Small real photographs for tests: patches of the two pictures that scikit-learn ships, and folders of them."""

from __future__ import annotations

import functools
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


@functools.cache
def _whole(name: str) -> Image.Image:
    spec = importlib.util.find_spec("sklearn")  # its data without its import, which costs a second
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / "datasets" / "images" / name) as image:
        return image.convert("RGB")


def photo(number: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Give patch `number`, another one for every number, scaled to (width, height)."""
    whole = _whole(("china.jpg", "flower.jpg")[number % 2])
    draws = np.random.default_rng(number)
    while True:
        side = int(draws.integers(90, 180))
        left, top = int(draws.integers(0, whole.width - side)), int(draws.integers(0, whole.height - side))
        patch = whole.crop((left, top, left + side, top + side))
        if np.asarray(patch).std() > 20:  # not a piece of empty sky
            return patch.resize(size, Image.Resampling.LANCZOS)


def jpeg(size: tuple[int, int], number: int = 3) -> bytes:
    """Return a photo's JPEG file."""
    stream = io.BytesIO()
    photo(number, size).save(stream, "JPEG")
    return stream.getvalue()


def save(image: Image.Image, path: Path, **options: object) -> Path:
    """Save an image, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def folder(root: Path, counts: Mapping[str, int], *, start: int = 0, size: tuple[int, int] = (48, 40)) -> Path:
    """Write `counts[name]` different JPEG photographs into root/name/, numbered on from `start`."""
    number = start
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            save(photo(number, size), root / name / f"{number:04d}.jpg", quality=92)
            number += 1
    return root
