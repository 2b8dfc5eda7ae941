"""Read random data sets, damaged and odd files among them, and compare each profile with an independent slow reader.

    python benchmarks/robustness/fuzz.py --inputs 2000 --seed 0 --out benchmarks/results/fuzz.json

An input is a folder of classes, of splits, or a table in a random dialect, filled with small images of random formats and
with damage (cut, empty, text, foreign, hidden). It passes where it is read and the counts per split and class equal those
of the slow reader, or is refused in one line with a hint. Counted as failures: another exception, more than 20 s, a
contradiction. The peak of resident memory is stated. Does not cover: decoding to squares (`tests/data/test_pixels.py`).
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from PIL import Image

from advisor.data import dataset, profile
from advisor.errors import AdviseError

FORMS = (("jpg", "JPEG"), ("png", "PNG"), ("bmp", "BMP"), ("webp", "WEBP"), ("tif", "TIFF"), ("gif", "GIF"))
CLASSES = ("cat", "dog", "black bear", "café", "Zebra", "0", "1", "x" * 60, "a.b", "emoji 🐶")
SPLITS = (("train", "test"), ("train", "val"), ("training_set", "test_set"), ("train", "val", "test"), ("Train", "dev"))
LIMIT_S = 20


def image(draws: random.Random, path: Path) -> None:
    """Write a small image of a random mode and format."""
    suffix, form = draws.choice(FORMS)
    size = draws.choice([(12, 9), (1, 1), (40, 3), (64, 64)])
    pixels = np.random.default_rng(draws.randrange(2**32)).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    mode = draws.choice(["RGB", "L", "RGBA", "P"]) if form in ("PNG", "TIFF", "WEBP", "GIF") else "RGB"
    Image.fromarray(pixels).convert(mode).save(path.with_suffix("." + suffix), form)


def damage(draws: random.Random, folder: Path, number: int) -> None:
    """Write a file that is no image, or a damaged one."""
    kind = draws.choice(["empty", "words", "cut", "hidden", "foreign", "raw", "link"])
    path = folder / f"odd{number}.jpg"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "words":
        path.write_text("no image")
    elif kind == "cut":
        image(draws, folder / f"cut{number}")
        for file in folder.glob(f"cut{number}.*"):
            file.write_bytes(file.read_bytes()[:20])
    elif kind == "link":
        path.symlink_to("nowhere.jpg")
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
    kind = draws.choice(["folders", "splits", "table"])
    if kind == "splits":
        for split in draws.choice(SPLITS):
            for name in classes:
                fill(draws, root / split / name)
        return kind, root
    for name in classes:
        fill(draws, (root / "img" if kind == "table" else root) / name)
    if kind == "folders":
        return kind, root
    files = [
        p for p in sorted((root / "img").rglob("*")) if (p.is_file() or p.is_symlink()) and not p.name.startswith(".")
    ]
    files = [p for p in files if p.suffix not in (".txt", ".nef")]
    separator, encoding = draws.choice([",", ";", "\t", "|"]), draws.choice(["utf-8", "utf-8-sig", "utf-16"])
    names = draws.choice([("path", "label"), ("file_name", "class"), ("Image", "Category"), ("filename", "target")])
    with open(root / "table.csv", "w", encoding=encoding, newline="") as stream:
        if draws.random() < 0.3:
            stream.write("\r\n")
        table = csv.writer(stream, delimiter=separator, lineterminator=draws.choice(["\n", "\r\n"]))
        table.writerow(names)
        table.writerows((p.relative_to(root).as_posix(), p.parent.name) for p in files)
    return kind, root / "table.csv"


def slow_counts(root: Path, kind: str) -> dict[str, int]:
    """Count the images that Pillow opens, by class, file by file."""
    counts: collections.Counter[str] = collections.Counter()
    depth = {"folders": 0, "splits": 1, "table": 1}[kind]
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if not path.is_file() or path.name.startswith(".") or path.suffix in (".txt", ".nef", ".csv"):
            continue
        try:
            with Image.open(path):
                counts[parts[depth]] += 1
        except Exception:
            continue
    return dict(counts)


def check(draws: random.Random, root: Path) -> str:
    """Build and read one input; return "read", "refused" or why it failed."""
    kind, path = build(draws, root)
    try:
        data = dataset.read(path)
        counts = profile.measure(data).counts
    except AdviseError as error:
        return "refused" if error.hint and "\n" not in str(error) and error.exit_code == 2 else f"bad refusal: {error}"
    except TimeoutError:
        return "hang"
    except Exception:
        return traceback.format_exc()
    total = {name: counts["pool"][name] + counts["test"][name] for name in data.classes}
    expected = {name: n for name, n in slow_counts(root, kind).items() if name in total}
    return "read" if total == expected else f"contradiction: {total} instead of {expected}"


def stop(number: int, frame: object) -> None:
    """End an input that hangs."""
    raise TimeoutError


def main() -> None:
    """Run all inputs and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    call = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)
    outcomes: collections.Counter[str] = collections.Counter()
    failures, begun = [], time.monotonic()
    for number in range(call.inputs):
        root = Path(tempfile.mkdtemp(prefix="fuzz-"))
        signal.alarm(LIMIT_S)
        outcome = check(random.Random(call.seed * 1_000_003 + number), root)
        signal.alarm(0)
        shutil.rmtree(root, ignore_errors=True)
        outcomes[outcome if outcome in ("read", "refused", "hang") else "failed"] += 1
        if outcome not in ("read", "refused"):
            failures.append({"input": number, "outcome": outcome})
            print(number, outcome, flush=True)
    result = {
        "command": f"python benchmarks/robustness/fuzz.py --inputs {call.inputs} --seed {call.seed}",
        "inputs": call.inputs,
        "outcomes": dict(outcomes),
        "failures": failures[:20],
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(result, indent=1))
    if call.out:
        call.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
