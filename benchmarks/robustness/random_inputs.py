"""Data sets put together at random: layouts, tables in random dialects, images of random formats, damage.

In: seeded draws and an empty folder. Out: the kind of layout and the path to read. Does NOT cover: what must be read of them
(`fuzz.py`).
"""

from __future__ import annotations

import csv
import random
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FORMS = (("jpg", "JPEG"), ("png", "PNG"), ("bmp", "BMP"), ("webp", "WEBP"), ("tif", "TIFF"), ("gif", "GIF"))
MODES = {
    "JPEG": ("RGB", "L", "CMYK", "YCbCr"), "PNG": ("RGB", "L", "RGBA", "P", "LA", "1", "I;16"), "BMP": ("RGB", "L", "1"),
    "WEBP": ("RGB", "RGBA"), "TIFF": ("RGB", "RGBA", "F", "I;16", "LAB"), "GIF": ("P", "L"),
}  # fmt: skip
SIZES = ((12, 9), (1, 1), (40, 3), (64, 64), (1, 3000), (5000, 1))
CLASSES = (
    "cat",
    "dog",
    "black bear",
    "café",
    "Zebra",
    "0",
    "1",
    "x" * 60,
    "a.b",
    "emoji 🐶",
    "-dash",
    "[red]",
    "it's",
    "=1+1",
)
SPLITS = (
    ("train", "test"), ("train", "val"), ("training_set", "test_set"), ("train", "val", "test"), ("Train", "dev"),
    ("trainset", "testset"), ("train_A", "test_A"), ("entrenamiento", "prueba"), ("训练", "测试"),
    ("split=train", "split=val"),
)  # fmt: skip
HEADERS = (
    ("path", "label"),
    ("file_name", "class"),
    ("Image", "Category"),
    ("filename", "target"),
    ("ImagePath", "className"),
)
KINDS = ("folders", "splits", "class_first", "flat", "table", "archive")


def image(draws: random.Random, path: Path) -> None:
    """Write a small image of a random mode and format."""
    suffix, form = draws.choice(FORMS)
    size = draws.choice(SIZES)
    pixels = np.random.default_rng(draws.randrange(2**32)).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    mode = draws.choice(MODES[form])
    if mode in ("I;16", "F"):
        grey = pixels[:, :, 0].astype(np.uint16) * 4 if mode == "I;16" else pixels[:, :, 0].astype(np.float32) / 255
        made = Image.fromarray(grey)
    else:
        made = Image.fromarray(pixels).convert(mode)
    made.save(path.with_suffix("." + suffix), form)


def huge(draws: random.Random) -> bytes:
    """Return a PNG whose header states more pixels than are there."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    side, depth, colour = draws.choice([(60_000, 8, 2), (2**31 - 1, 8, 0), (13_300, 16, 0), (30_000, 8, 6)])
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    body = zlib.compress(b"\0" * 200_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def damage(draws: random.Random, folder: Path, number: int) -> None:
    """Write a file that is no image, or a damaged one."""
    kind = draws.choice(["empty", "words", "cut", "hidden", "foreign", "raw", "link", "huge", "folder"])
    path = folder / f"odd{number}.jpg"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "words":
        path.write_text("no image")
    elif kind == "huge":
        path.with_suffix(".png").write_bytes(huge(draws))
    elif kind == "folder":
        path.mkdir()
    elif kind == "cut":
        image(draws, folder / f"cut{number}")
        for file in folder.glob(f"cut{number}.*"):
            file.write_bytes(file.read_bytes()[:20])
    elif kind == "link":
        path.symlink_to(draws.choice(["nowhere.jpg", "..", path.name]))
    else:
        name = {"hidden": f".h{number}.jpg", "foreign": f"notes{number}.txt", "raw": f"raw{number}.nef"}[kind]
        (folder / name).write_bytes(b"II*\0 and more")


def fill(draws: random.Random, folder: Path) -> None:
    """Fill a class folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(draws.randint(1, 8)):
        image(draws, folder / f"i{number}")
    for number in range(draws.choice([0, 0, 0, 1, 2])):
        damage(draws, folder, number)


def build(draws: random.Random, root: Path) -> tuple[str, Path]:
    """Write one input; return its kind and the path to read."""
    classes = draws.sample(CLASSES, draws.randint(2, 4))
    kind = draws.choice(KINDS)
    if kind == "splits":
        for split in draws.choice(SPLITS):
            for name in classes:
                fill(draws, root / split / name)
    elif kind == "class_first":
        for split in draws.choice(SPLITS):
            for name in classes:
                fill(draws, root / name / split)
    elif kind == "flat":
        write_flat(draws, root, classes)
    elif kind in ("folders", "archive"):
        for name in classes:
            fill(draws, root / name)
    else:
        for name in classes:
            fill(draws, root / "img" / name)
        return kind, write_table(draws, root)
    return kind, packed(root) if kind == "archive" else root


def packed(root: Path) -> Path:
    """Write a ZIP of a folder beside its images."""
    target = root / "data.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink() and path != target:
                archive.write(path, f"data/{path.relative_to(root).as_posix()}")
    return target


def write_flat(draws: random.Random, root: Path, classes: list[str]) -> None:
    """Write train/ and test/ with files of the same names, and a table of the training images by number."""
    for split in ("train", "test"):
        (root / split).mkdir()
        for number in range(6):
            image(draws, root / split / str(number))
    with open(
        root / draws.choice(["train.csv", "labels.csv", "train_labels.csv"]), "w", encoding="utf-8", newline=""
    ) as stream:
        csv.writer(stream).writerows([("id", "label"), *((n, classes[n % len(classes)]) for n in range(6))])


def write_table(draws: random.Random, root: Path) -> Path:
    """Write a table of the files below img/ in a random dialect."""
    files = [p for p in sorted((root / "img").rglob("*")) if p.is_file() or (p.is_symlink() and not p.is_dir())]
    files = [p for p in files if p.suffix not in (".txt", ".nef") and not p.name.startswith(".")]
    rows: list[list[str]] = [[p.relative_to(root).as_posix(), p.relative_to(root).parts[1]] for p in files]
    header = list(draws.choice(HEADERS))
    if draws.random() < 0.3:
        rows, header = [[str(n), *row] for n, row in enumerate(rows)], ["", *header]
    if draws.random() < 0.2:
        rows, header = [row[::-1] for row in rows], header[::-1]
    if draws.random() < 0.2:
        rows, header = [[*row, ""] for row in rows], [*header, ""]
    rows += [rows[0]] * draws.choice([0, 0, 2])
    form: dict[str, Any] = {"quoting": draws.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])}
    form |= {"delimiter": draws.choice(",;\t|"), "lineterminator": draws.choice(["\n", "\r\n"])}
    encoding = draws.choice(["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    with open(root / draws.choice(["table.csv", "table.tsv"]), "w", encoding=encoding, newline="") as stream:
        stream.write(draws.choice(["", "", "\r\n", "# exported\n"]))
        csv.writer(stream, **form).writerows([header, *rows])
    return Path(stream.name)
