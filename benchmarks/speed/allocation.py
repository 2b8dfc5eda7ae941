"""What it brings that freed memory stays in the process (`advisor.runtime.device`): images per second with it and without.

Every turn is a process of its own, since memory that was kept once is not given back; the two kinds take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import ledger

WORK = (("extraction", 224), ("full", 128), ("full", 64))
BATCH, CLASSES, TURN_S = 32, 10, 3.0
PAGE = ledger.ROOT / "docs" / "speed.md"


def turn(work: str, size_px: int, threads: int, keeps: bool) -> dict[str, float]:
    """Work for some seconds in this process; give images and page faults per second."""
    import resource
    from dataclasses import replace

    import ceiling

    from advisor import registry
    from advisor.runtime import device

    backbone = registry.load().backbone("mobilenet_v2")
    module = backbone.build()
    compute = replace(device.choose("cpu", backbone), threads=threads)
    if not keeps:
        device.keep_freed_memory = lambda: False
    device.apply(compute)
    if work == "extraction":
        step = ceiling.extraction(backbone, module, compute, size_px, BATCH)
    else:
        trained = {stage.name for stage in backbone.stages}
        step = ceiling.training(backbone, module, compute, size_px, BATCH, CLASSES, trained)
    step(), step()  # every block was asked for once
    before, began, steps = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter(), 0
    while (took := time.perf_counter() - began) < TURN_S:
        step()
        steps += 1
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"images_per_s": BATCH * steps / took, "faults_per_s": faults / took}


def measure(work: str, size_px: int, threads: int, rounds: int) -> dict[str, Any]:
    """Run both kinds in turns."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    seen: dict[str, list[dict[str, float]]] = {"kept": [], "handed back": []}
    for number in range(rounds):
        for name in sorted(seen, reverse=bool(number % 2)):
            call = [sys.executable, __file__, "--turn", work, str(size_px), str(threads), name]
            done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
            seen[name].append(json.loads(done.stdout))
    each = {name: [t["images_per_s"] for t in turns] for name, turns in seen.items()}
    return {
        "kept": round(statistics.median(each["kept"]), 1),
        "handed_back": round(statistics.median(each["handed back"]), 1),
        "ratios": [round(a / b, 2) for a, b in zip(each["kept"], each["handed back"], strict=True)],
        "faults_kept": round(statistics.median(t["faults_per_s"] for t in seen["kept"])),
        "faults_handed_back": round(statistics.median(t["faults_per_s"] for t in seen["handed back"])),
    }


def publish() -> None:
    """Write the table."""
    rows = [r for r in ledger.Ledger(ledger.RESULTS, "speed").rows if r["part"] == "allocator"]
    lines = [
        [
            f"{r['work']}, {r['size_px']} px",
            str(r["threads"]),
            f"{r['handed_back']:.0f}",
            f"{r['kept']:.0f}",
            f"{statistics.median(r['ratios']):.2f} ({min(r['ratios']):.2f}-{max(r['ratios']):.2f})",
            f"{r['faults_handed_back']:,} -> {r['faults_kept']:,}",
        ]
        for r in rows
    ]
    titles = [
        "MobileNetV2",
        "threads",
        "images/s, memory handed back",
        "kept",
        "ratio (range)",
        "page faults per second",
    ]
    ledger.publish("allocator", ledger.table(titles, lines) + f"\n{ledger.machine()}.\n", PAGE)


def main(arguments: list[str]) -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(prog="run.py allocator", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(arguments)
    book = ledger.Ledger(ledger.RESULTS, "speed")
    for work, size_px in WORK:
        key = {"part": "allocator", "work": work, "size_px": size_px, "threads": args.threads}
        if not book.has(**key):
            book.add({**key, **measure(work, size_px, args.threads, args.rounds)})
            print(book.rows[-1], flush=True)
    publish()


if __name__ == "__main__":
    _, _, work, size, threads, kind = sys.argv
    print(json.dumps(turn(work, int(size), int(threads), kind == "kept")))
