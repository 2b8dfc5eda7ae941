"""Small data sets for tests: crops of scikit-learn's two real photographs, coloured and turned into classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image


def write_crops(folder: Path, *, classes: int = 3, each: int = 20, side_px: int = 48, seed: int = 0) -> Path:
    """Write `classes` folders of `each` JPEG crops; a class is one photograph in one channel order."""
    draws = np.random.default_rng(seed)
    pictures = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    for index in range(classes):
        picture = np.roll(pictures[index % 2], index // 2, axis=2)
        class_folder = folder / f"class {index}"
        class_folder.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            top = int(draws.integers(0, picture.shape[0] - 2 * side_px))
            left = int(draws.integers(0, picture.shape[1] - 2 * side_px))
            crop = picture[top : top + 2 * side_px, left : left + 2 * side_px]
            Image.fromarray(crop).resize((side_px, side_px)).save(class_folder / f"{number:03d}.jpg", quality=90)
    return folder
