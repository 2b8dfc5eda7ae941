"""Views and the teachers' answers on disk, in shards that are built one by one and then only read.

Shard k is a pure function of (seed, k): `views-k.npy` (n, STUDENT_PX, STUDENT_PX, 3) uint8 and `answers-k.npy`
(n, COLUMNS) float16. A shard exists when its answers do: each file is written under a temporary name and renamed,
views first. Does NOT cover: when a shard is built (`loop`).
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from advisor_pocket.training import views
from advisor_pocket.training.teachers import Teachers

STUDENT_PX = 112
SHARD_VIEWS = 10_000
CHUNK = 1_000


def build(folder: Path, seed: int, index: int, photos: views.Photos, teachers: Teachers) -> None:
    """Render shard `index` and ask the teachers, unless it is there."""
    if (folder / f"answers-{index}.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)

    def one(number: int) -> tuple[np.ndarray, np.ndarray]:
        image = views.render(np.random.default_rng((seed, index, number)), photos)
        small = image.resize((STUDENT_PX, STUDENT_PX), Image.Resampling.BILINEAR)
        return np.asarray(image), np.asarray(small)

    pixels, outputs = [], []
    with ThreadPoolExecutor(2) as pool:  # Pillow works outside the interpreter lock
        for start in range(0, SHARD_VIEWS, CHUNK):
            pairs = list(pool.map(one, range(start, start + CHUNK)))
            outputs.append(teachers.answer(np.stack([large for large, _ in pairs])))
            pixels.append(np.stack([small for _, small in pairs]))
    _write(folder / f"views-{index}.npy", np.concatenate(pixels))
    _write(folder / f"answers-{index}.npy", np.concatenate(outputs))


def wait(folder: Path, index: int) -> None:
    """Return once shard `index` is there."""
    while not (folder / f"answers-{index}.npy").exists():
        time.sleep(0.5)


def read(folder: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Map the views and answers of shard `index`, read-only."""
    views_NHWC = np.load(folder / f"views-{index}.npy", mmap_mode="r")
    return views_NHWC, np.load(folder / f"answers-{index}.npy", mmap_mode="r")


def _write(path: Path, array: np.ndarray) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    os.replace(temporary, path)
