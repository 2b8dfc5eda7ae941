"""How fast a frozen network passes images: by the size of a batch, with BatchNorm as it is and folded into convolutions.

One constant batch in memory, all stages pooled, in the precision and layout that `device.choose` gives. The cells of a
network and size take turns, and each cell's best turn counts: a cache that others disturb only makes one slower.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import Any

import ledger

NETWORKS = ("mobilenet_v2", "efficientnet_b0", "resnet18", "squeezenet1_1")
SIZES_PX, BATCHES = (128, 224), (8, 16, 32, 64)
PAGE = ledger.ROOT / "docs" / "speed.md"


def measure(name: str, size_px: int, threads: int, rounds: int) -> dict[str, Any]:
    """Return images per second, by "plain" or "folded" and the size of the batch. Weights are random."""
    import ceiling

    from advisor import registry
    from advisor.models import backbone as backbones
    from advisor.runtime import device

    backbone = registry.load().backbone(name)
    compute = replace(device.choose("cpu", backbone), threads=threads)
    device.apply(compute)
    steps = {
        (kind, batch): ceiling.extraction(
            backbone, backbones.build(backbone), replace(compute, fold_batch_norm=kind == "folded"), size_px, batch
        )
        for kind in ("plain", "folded")
        for batch in BATCHES
    }
    best = dict.fromkeys(steps, 0.0)
    for number in range(rounds + 1):  # the first one warms up
        for (kind, batch), step in steps.items():
            began = time.perf_counter()
            step()
            if number:
                best[kind, batch] = max(best[kind, batch], batch / (time.perf_counter() - began))
    return {f"{kind} {batch}": round(value, 1) for (kind, batch), value in best.items()}


def publish() -> None:
    """Write the table."""
    rows = [r for r in ledger.Ledger(ledger.RESULTS, "speed").rows if r["part"] == "passes"]
    cells = [f"{kind} {batch}" for kind in ("plain", "folded") for batch in BATCHES]
    lines = [[f"{r['network']}, {r['size_px']} px", *(f"{r[cell]:.0f}" for cell in cells)] for r in rows]
    ledger.publish("passes", ledger.table(["network", *cells], lines) + f"\n{ledger.machine()}, one thread.\n", PAGE)


def main(arguments: list[str]) -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(prog="run.py passes", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(arguments)
    book = ledger.Ledger(ledger.RESULTS, "speed")
    for name in NETWORKS:
        for size_px in SIZES_PX:
            key = {"part": "passes", "network": name, "size_px": size_px, "threads": args.threads}
            if not book.has(**key):
                book.add({**key, **measure(name, size_px, args.threads, args.rounds)})
                print(book.rows[-1], flush=True)
    publish()


if __name__ == "__main__":
    main(sys.argv[1:])
