"""50,000 files in the commonest layouts: seconds and peak memory of `tl-advise inspect`, beside the plain folder.

    python benchmarks/inputs/scale.py --work DIR [--files 50000] [--repeats 3] [--out benchmarks/results/layouts_scale.json]

The images are small JPEG files of which no two are equal (a number follows the end of the picture, which decoders ignore);
every layout holds hard links to the same files. Each reading is a process of its own, after one that warms the disk cache;
the table has the median of its seconds. Resumable: layouts that are already in the output are left out.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image
from sklearn.datasets import load_sample_image

CLASSES = 100
SIDE_PX = 48


def images(folder: Path, count: int) -> list[Path]:
    """Write `count` different small JPEG files in class folders."""
    picture = Image.fromarray(load_sample_image("flower.jpg"))
    encoded = []
    for index in range(CLASSES):
        buffer = io.BytesIO()
        picture.crop((index, index, index + 200, index + 200)).resize((SIDE_PX, SIDE_PX)).save(buffer, format="JPEG")
        encoded.append(buffer.getvalue())
    paths = []
    for number in range(count):
        path = folder / f"class_{number % CLASSES:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded[number % CLASSES] + number.to_bytes(8, "big"))
        paths.append(path)
    return paths


def link(source: Path, target: Path) -> None:
    """Make a hard link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


def splits(files: list[Path], root: Path) -> Path:
    """train/, val/ and test/ of class folders."""
    for number, file in enumerate(files):
        split = ("train", "train", "train", "val", "test")[number // CLASSES % 5]
        link(file, root / split / file.parent.name / file.name)
    return root


def manifest(files: list[Path], root: Path) -> Path:
    """A CSV of path and label beside one folder of images."""
    for file in files:
        link(file, root / "images" / file.name)
    with open(root / "labels.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(("path", "label"))
        table.writerows((f"images/{file.name}", file.parent.name) for file in files)
    return root / "labels.csv"


def metadata(files: list[Path], root: Path) -> Path:
    """The Hugging Face image folder: metadata.csv with file_name and label in each split."""
    rows: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for number, file in enumerate(files):
        split = "test" if number // CLASSES % 5 == 4 else "train"
        link(file, root / split / file.name)
        rows[split].append((file.name, file.parent.name))
    for split, lines in rows.items():
        with open(root / split / "metadata.csv", "w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(("file_name", "label"))
            table.writerows(lines)
    return root


def archive(files: list[Path], root: Path) -> Path:
    """A ZIP of the plain folder."""
    root.mkdir(parents=True)
    with zipfile.ZipFile(root / "photos.zip", "w") as packed:
        for file in files:
            packed.write(file, f"{file.parent.name}/{file.name}")
    return root / "photos.zip"


LAYOUTS = {"train, val, test folders": splits, "CSV table": manifest, "metadata.csv": metadata, "ZIP archive": archive}


def inspect(path: Path, cache: Path) -> dict[str, Any]:
    """Run `tl-advise inspect` in a process; return seconds, peak memory in MB and images."""
    command = [sys.executable, "-m", "advisor", "inspect", str(path), "--json", "--quiet"]
    begun = time.perf_counter()
    environment = {**os.environ, "TL_ADVISE_CACHE": str(cache)}
    with open(cache / "profile.json", "wb") as out:
        process = subprocess.Popen(command, stdout=out, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{path}: exit code {process.returncode}")
    profile = json.loads((cache / "profile.json").read_text())
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "peak_mb": usage.ru_maxrss / 1024, "images": profile["images"]}


def measured(path: Path, cache: Path, repeats: int) -> dict[str, Any]:
    """Return the first reading's seconds, the median of the repeats, and the largest peak memory."""
    runs = [inspect(path, cache) for _ in range(repeats + 1)]
    return {
        "images": runs[0]["images"],
        "first_s": round(runs[0]["seconds"], 2),
        "median_s": round(statistics.median(r["seconds"] for r in runs[1:]), 2),
        "peak_mb": round(max(r["peak_mb"] for r in runs)),
    }


def main() -> None:
    """Measure what is missing in the output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/layouts_scale.json"))
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {"files": options.files, "rows": {}}
    plain, cache = options.work / "plain", options.work / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted(plain.rglob("*.jpg"), key=lambda p: p.name) if plain.exists() else []
    if len(files) != options.files:
        shutil.rmtree(plain, ignore_errors=True)
        files = images(plain, options.files)
    for name in ("plain folder", *LAYOUTS):
        if name in results["rows"]:
            continue
        root = options.work / name.replace(",", "").replace(" ", "-")
        shutil.rmtree(root, ignore_errors=True)
        path = plain if name == "plain folder" else LAYOUTS[name](files, root)
        results["rows"][name] = measured(path, cache, options.repeats)
        print(name, results["rows"][name], flush=True)
        shutil.rmtree(root, ignore_errors=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
