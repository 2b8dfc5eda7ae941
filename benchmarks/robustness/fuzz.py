"""Read random data sets, damaged and odd files among them, and compare each profile with an independent slow reader.

    python benchmarks/robustness/fuzz.py --inputs 2000 --seed 0 --out benchmarks/results/fuzz.json [--minutes M]

An input is a folder of classes, of splits (also under other names and languages), of splits inside of classes, flat folders
with a table, a table in a random dialect, or an archive, filled with small images of random formats and modes, with huge
headers, and with damage (cut, empty, text, foreign, hidden, links). It passes where it is read and the classes and their
counts equal those of the slow reader, or is refused in one line with a hint. Counted as failures: another exception, more
than 20 s of CPU or 10 minutes, a contradiction. The peak of resident memory is stated, and is a failure above PEAK_MB.
A run that was stopped continues with the next call. Does not cover: decoding to squares (`tests/data/test_pixels.py`).
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from advisor.data import dataset, profile
from advisor.errors import AdviseError

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
CPU_S, WALL_S = 20, 600
PEAK_MB = 1500


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


def slow_counts(root: Path, kind: str) -> dict[str, int]:
    """Count the images that Pillow opens, by class, file by file."""
    if kind == "flat":
        table = next(root.glob("*.csv"))
        with open(table, encoding="utf-8", newline="") as stream:
            return dict(collections.Counter(row["label"] for row in csv.DictReader(stream)))
    counts: collections.Counter[str] = collections.Counter()
    depth = {"folders": 0, "splits": 1, "table": 1, "class_first": 0, "archive": 0}[kind]
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if not path.is_file() or path.name.startswith(".") or path.suffix in (".txt", ".nef", ".csv", ".tsv", ".zip"):
            continue
        try:
            with Image.open(path) as opened:
                if opened.mode[0] in "IF":
                    opened.load()  # its range is read, so that it must be whole
                counts[parts[depth]] += opened.width * opened.height <= Image.MAX_IMAGE_PIXELS * 2
        except Exception:
            continue
    return {name: count for name, count in counts.items() if count}


def check(draws: random.Random, root: Path) -> str:
    """Build and read one input; return "read", "refused" with the reason, or why it failed."""
    kind, path = build(draws, root)
    try:
        data = dataset.read(path)
        counts = profile.measure(data).counts
    except AdviseError as error:
        in_one_line = error.hint and "\n" not in str(error) and error.exit_code == 2
        return f"refused: {reason(error, root)}" if in_one_line else f"bad refusal: {error}"
    except TimeoutError:
        return "hang"
    except Exception:
        return traceback.format_exc()
    total = {name: counts["pool"][name] + counts["test"][name] for name in data.classes}
    expected = slow_counts(root, kind)
    return "read" if total == expected else f"contradiction ({kind}): {total} instead of {expected}; {data.warnings}"


def reason(error: AdviseError, root: Path) -> str:
    """Return why an input was refused, without what differs between inputs."""
    text = error.what.replace(str(root), "ROOT")
    return re.sub(r"\d+|\(.*?\)|class folder \S+|class .*? has", "...", text)[:100]


def stop(number: int, frame: object) -> None:
    """End an input that hangs."""
    raise TimeoutError


def one(seed: int, number: int) -> str:
    """Check one input within its time."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    signal.alarm(WALL_S)
    try:
        return check(random.Random(seed * 1_000_003 + number), root)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        shutil.rmtree(root, ignore_errors=True)


def main() -> int:
    """Check the inputs that are missing and write the counts; 3 where one failed or memory was above the bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many, to continue at the next call")
    parser.add_argument("--out", type=Path, required=True)
    call = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGPROF, stop)
    state: dict[str, Any] = {"inputs": 0, "outcomes": {}, "failures": [], "peak_memory_mb": 0, "seconds": 0.0}
    if call.out.exists():
        state |= json.loads(call.out.read_text())
    state["command"] = f"python benchmarks/robustness/fuzz.py --inputs {call.inputs} --seed {call.seed}"
    begun, before_s = time.monotonic(), float(state["seconds"])
    for number in range(int(state["inputs"]), call.inputs):
        outcome = one(call.seed, number)
        kind = outcome if outcome in ("read", "hang") or outcome.startswith("refused") else "failed"
        state["outcomes"][kind] = state["outcomes"].get(kind, 0) + 1
        if kind in ("hang", "failed"):
            state["failures"].append({"input": number, "outcome": outcome})
            print(number, outcome, flush=True)
        state["inputs"] = number + 1
        late = time.monotonic() - begun > 60 * call.minutes
        if late or (number + 1) % 50 == 0 or number + 1 == call.inputs:
            peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            state |= {"peak_memory_mb": max(peak_mb, state["peak_memory_mb"])}
            state |= {"seconds": round(before_s + time.monotonic() - begun)}
            call.out.write_text(json.dumps(state, indent=1) + "\n")
        if late:
            break
    print(json.dumps({name: value for name, value in state.items() if name != "failures"}, indent=1))
    return 3 if state["failures"] or state["peak_memory_mb"] > PEAK_MB else 0


if __name__ == "__main__":
    sys.exit(main())
