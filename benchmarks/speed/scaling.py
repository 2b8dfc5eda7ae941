"""Time and memory against the number of images and of classes: inspection, decoding, features, heads.

Each cell is a process of its own on generated JPEG files of 64 px; memory is the process's largest resident size, above
what it had when the work began. `exponent` is the slope of log time over log number: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ledger

WORK = ("inspect", "inspect --deep", "decode", "extraction", "heads")
IMAGES, CLASSES = (1_000, 10_000, 50_000), (10, 100, 1_000)
CELLS = [*((n, 10) for n in IMAGES), *((10_000, k) for k in CLASSES[1:])]
PAGE = ledger.ROOT / "docs" / "speed.md"


def folder(images: int, classes: int, work: Path) -> Path:
    """Write small photographs of nothing: a colour field for each class, and noise; every file is another one."""
    import numpy as np
    from PIL import Image

    images_dir = work / f"scaling-{images}-{classes}"
    if images_dir.exists():
        return images_dir
    waiting = images_dir.with_suffix(".new")
    shutil.rmtree(waiting, ignore_errors=True)
    draw = np.random.default_rng(0)
    fields = draw.integers(0, 256, (classes, 8, 8, 3))
    for number in range(images):
        label = number % classes
        path = waiting / f"c{label:04d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noisy = np.clip(fields[label] + draw.normal(0, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).resize((64, 64)).save(path, "JPEG", quality=85)
    waiting.rename(images_dir)
    return images_dir


def inspect(data: Path, deep: bool, cache: Path) -> dict[str, Any]:
    """Run `tl-advise inspect` as a person does; its memory is that of the largest process."""
    call = [sys.executable, "-m", "advisor", "inspect", str(data), "--json", *(["--deep"] if deep else [])]
    began = time.perf_counter()
    with (
        open(os.devnull, "wb") as nowhere,
        subprocess.Popen(call, stdout=nowhere, stderr=nowhere, env=_environment(cache)) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(call)}: exit {process.returncode}")
    factor = 1024 if sys.platform.startswith("linux") else 1
    seconds = time.perf_counter() - began
    cpu_s = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu_s": cpu_s, "start_bytes": 0, "peak_bytes": usage.ru_maxrss * factor}


def apart(what: str, data: Path, images: int, classes: int, threads: int, cache: Path) -> dict[str, Any]:
    """Run one piece of work in a process of its own."""
    script = str(Path(__file__).with_name("scaling_work.py"))
    call = [sys.executable, script, what, str(data), str(images), str(classes), str(threads)]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True, env=_environment(cache))
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "TL_ADVISE_CACHE": str(cache)}


def measure(what: str, images: int, classes: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one cell, from an empty cache."""
    data = folder(images, classes, args.work) if what != "heads" else Path("-")
    with tempfile.TemporaryDirectory(dir=args.work) as cache:
        if what.startswith("inspect"):
            return inspect(data, what.endswith("deep"), Path(cache))
        return apart(what, data, images, classes, args.threads, Path(cache))


def exponent(rows: list[dict[str, Any]], by: Callable[[dict[str, Any]], int]) -> float | None:
    """Return the slope of log time over log number, between the smallest and the largest."""
    ordered = sorted(rows, key=by)
    if len(ordered) < 2:
        return None
    first, last = ordered[0], ordered[-1]
    return math.log(last["seconds"] / first["seconds"]) / math.log(by(last) / by(first))


def publish() -> None:
    """Write the table."""
    rows = [r for r in ledger.Ledger(ledger.RESULTS, "speed").rows if r["part"] == "scaling"]
    lines = []
    for what in WORK:
        mine = [r for r in rows if r["work"] == what]
        cells = {(r["images"], r["classes"]): r for r in mine}
        across = exponent([r for r in mine if r["classes"] == 10], lambda r: int(r["images"]))
        deeper = exponent([r for r in mine if r["images"] == 10_000], lambda r: int(r["classes"]))
        if mine:
            lines.append(
                [what, *(_cell(cells.get(c)) for c in CELLS), *(f"{e:.2f}" if e else "" for e in (across, deeper))]
            )
    titles = [f"{n:,} images, {k} classes" for n, k in CELLS]
    text = ledger.table(["work", *titles, "exponent, images", "exponent, classes"], lines)
    ledger.publish("scaling", text + f"\n{ledger.machine()}.\n", PAGE)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{row['seconds']:.1f} s, {(row['peak_bytes'] - row['start_bytes']) / 2**20:.0f} MiB"


def main(arguments: list[str]) -> None:
    """Measure the cells that are missing."""
    parser = argparse.ArgumentParser(prog="run.py scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=WORK)
    parser.add_argument("--at-most", type=int, default=50_000, help="images")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-speed")
    args = parser.parse_args(arguments)
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(ledger.RESULTS, "speed")
    for what in args.only or WORK:
        for images, classes in CELLS:
            key = {"part": "scaling", "work": what, "images": images, "classes": classes, "threads": args.threads}
            if images <= args.at_most and not book.has(**key):
                row = {**key, **measure(what, images, classes, args)}
                print(row, flush=True)
                book.add(row)
    publish()
