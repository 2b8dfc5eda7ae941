"""Check every curated network of timm with random weights: `python benchmarks/networks/conformance.py [--only TEXT]`.

Each network goes through the public conformance kit at a small input size (its own where it takes no other), smallest
network first. Results are appended to benchmarks/results/networks-conformance.jsonl, one line per network; a network
that has a line there is skipped, so that a stopped run is continued. Needs `tl-advise[timm]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from advisor import registry, testing
from advisor.hooks import Backbone

RESULTS = Path(__file__).parents[1] / "results" / "networks-conformance.jsonl"
SMALL_PX = 64


def size_px(backbone: Backbone) -> int:
    """Return the smallest multiple of the network's step from `SMALL_PX` on."""
    return max(1, -(-SMALL_PX // backbone.size_multiple)) * backbone.size_multiple


def main() -> int:
    """Check what has no line yet; exit code 1 where a rule does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="only networks whose names hold TEXT")
    parser.add_argument(
        "--largest", type=float, default=400.0, metavar="M", help="millions of parameters (default 400)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    offered = [b for b in registry.load().backbones.values() if b.name.startswith("timm/") and args.only in b.name]
    done = {json.loads(line)["name"] for line in RESULTS.read_text().splitlines()} if RESULTS.exists() else set()
    failed = 0
    for backbone in sorted(offered, key=lambda b: b.parameters or 0):
        if backbone.name in done or (backbone.parameters or 0) > args.largest * 1e6:
            continue
        start, size = time.monotonic(), size_px(backbone)
        unpublished = replace(backbone, weights=None)  # nothing is looked for or fetched
        checks = testing.check_backbone(unpublished, offline=True, size_px=size)
        bad = {c.name: c.detail for c in checks if not c.passed}
        notes = {c.name: c.detail for c in checks if c.passed and c.name == "takes other input sizes" and c.detail}
        line = {
            "name": backbone.name,
            "parameters": backbone.parameters,
            "stages": len(backbone.stages),
            "size_px": size,
            "passed": len(checks) - len(bad),
            "of": len(checks),
            "failed": bad,
            "notes": notes,
            "seconds": round(time.monotonic() - start, 1),
        }
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{backbone.name}: {line['passed']} of {line['of']} {bad or ''}", flush=True)
        failed += bool(bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
