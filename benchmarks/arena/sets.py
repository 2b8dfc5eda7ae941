"""The arena's data sets: folders of links, TRAIN and TEST, drawn by a hash of the file's path and the seed.

In: the unpacked shared sets. Out: (train, test) folders of class folders. The test is the same for every seed and rival.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

TEST_MOST = 750
Files = dict[str, list[Path]]
# name: (folder, training part or "", test part or "", training images per class or None for all)
SETS: Mapping[str, tuple[str, str, str, int | None]] = {
    "hymenoptera": ("hymenoptera", "train", "val", None),
    "flowers-50": ("five_flowers", "", "", 10),
    "flowers-1000": ("five_flowers", "", "", 200),
    "flowers-all": ("five_flowers", "", "", None),
    "photo-10": ("pacs/photo", "", "", 10),
    "photo-100": ("pacs/photo", "", "", 100),
    "sketch-10": ("pacs/sketch", "", "", 10),
    "sketch-100": ("pacs/sketch", "", "", 100),
    "flowers102": ("flowers102", "train", "test", None),
    "cifar10-1000": ("cifar10", "train", "test", 100),
    "cifar10-10000": ("cifar10", "train", "test", 1000),
    "sketch-imbalanced": ("pacs/sketch", "", "", 100),
    "flowers-noise": ("five_flowers", "", "", 200),
}
IMBALANCED, NOISY = "sketch-imbalanced", "flowers-noise"


def _order(path: Path, salt: str) -> str:
    return hashlib.sha256(f"{salt}/{path.parent.name}/{path.name}".encode()).hexdigest()


def _files(folder: Path) -> Files:
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    return {c.name: sorted(p for p in c.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")) for c in classes}


def split(data: Path, name: str, seed: int) -> tuple[Files, Files]:
    """Return (training files, test files) per class of a set."""
    folder, train, test, most = SETS[name]
    pool = _files(data / folder / train)
    if test:
        held = _files(data / folder / test)
    else:
        ordered = {c: sorted(files, key=lambda p: _order(p, "test")) for c, files in pool.items()}
        held = {c: files[: round(0.3 * len(files))] for c, files in ordered.items()}
        pool = {c: files[round(0.3 * len(files)) :] for c, files in ordered.items()}
    total = sum(map(len, held.values()))
    share = min(1.0, TEST_MOST / total)
    held = {c: sorted(f, key=lambda p: _order(p, "few"))[: max(1, round(share * len(f)))] for c, f in held.items()}
    drawn = {c: sorted(files, key=lambda p: _order(p, f"train{seed}"))[:most] for c, files in pool.items()}
    if name == IMBALANCED:
        drawn = {c: files[: max(4, round(len(files) * 0.5**k))] for k, (c, files) in enumerate(sorted(drawn.items()))}
    return (_with_wrong_labels(drawn) if name == NOISY else drawn), held


def _with_wrong_labels(drawn: Files) -> Files:
    """Move a tenth of each class to the next class."""
    names = sorted(drawn)
    wrong = {c: files[::10] for c, files in drawn.items()}
    return {c: [f for f in drawn[c] if f not in wrong[c]] + wrong[names[k - 1]] for k, c in enumerate(names)}


def write(data: Path, name: str, seed: int, to: Path) -> tuple[Path, Path]:
    """Make TRAIN and TEST of links below `to`, once."""
    base = to / f"{name}-{seed}"
    if not (base / ".done").exists():
        for part, files in zip(("train", "test"), split(data, name, seed), strict=True):
            for label, paths in files.items():
                (base / part / label).mkdir(parents=True, exist_ok=True)
                for path in paths:
                    link = base / part / label / f"{path.parent.name}-{path.name}"
                    if not link.exists():
                        link.hardlink_to(path)
        (base / ".done").touch()
    return base / "train", base / "test"
