"""Milliseconds and megabytes of exported graphs, predicted and measured: `python benchmarks/limits/latency.py`.

Every first-party network with random weights, at its default input size and at 128 pixels: exported to ONNX, the median of
100 single images on one thread behind a warm-up. Results are appended to benchmarks/results/latency.jsonl; what has a line
there is skipped, so that a stopped run continues. `--table` prints the comparison with what `tuning.limits.graph_costs`
predicts: from multiply-adds alone, and corrected by the measurement at the other size.
Needs `tl-advise[onnx]`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parents[1] / "results" / "latency.jsonl"
CLASSES, SMALL_PX = 10, 128


def rows() -> list[dict[str, Any]]:
    """Return what is measured so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def measure(seconds: float) -> None:
    """Measure what has no line yet, the fewest multiply-adds first, for about `seconds`."""
    import torch

    from advisor import registry
    from advisor.exporting import latency

    torch.set_num_threads(1)
    began = time.monotonic()
    done = {(row["network"], row["px"]) for row in rows()}
    offered = [b for b in registry.load().backbones.values() if not b.name.startswith("timm/")]
    for backbone in sorted(offered, key=lambda b: b.macs or 0):
        for px in dict.fromkeys((backbone.preprocess.size, SMALL_PX)):
            if (backbone.name, px) in done or (px != backbone.preprocess.size and px % backbone.size_multiple):
                continue
            if time.monotonic() - began > seconds:
                return
            start = time.monotonic()
            try:
                cost = latency.of_backbone(backbone, px, CLASSES)
            except Exception as error:
                print(backbone.name, px, type(error).__name__, str(error)[:200], flush=True)
                continue
            row = {
                "network": backbone.name,
                "px": px,
                "default_px": backbone.preprocess.size,
                "macs": backbone.macs,
                "parameters": backbone.parameters,
                "ms": round(cost.ms, 3),
                "mb": round(cost.mb, 3),
                "took_s": round(time.monotonic() - start, 1),
            }
            print(row, flush=True)
            with open(RESULTS, "a") as stream:
                stream.write(json.dumps(row) + "\n")


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=500.0)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not args.table:
        return measure(args.seconds)
    from advisor.tuning.limits import graph_costs

    measured = rows()
    by_name = {name: [r for r in measured if r["network"] == name] for name in {r["network"] for r in measured}}
    print("| network | px | MMACs | predicted ms | from the other size | measured ms | predicted MB | measured MB |")
    print("|---|---|---|---|---|---|---|---|")
    for row in sorted(measured, key=lambda r: (r["network"], r["px"])):
        macs = row["macs"] * (row["px"] / row["default_px"]) ** 2
        row["predicted"] = graph_costs.card_ms(macs)
        other = [r for r in by_name[row["network"]] if r["px"] != row["px"]]
        row["corrected"] = None
        if other:
            other_card = graph_costs.card_ms(other[0]["macs"] * (other[0]["px"] / other[0]["default_px"]) ** 2)
            row["corrected"] = row["predicted"] * other[0]["ms"] / other_card
        row["predicted_mb"] = graph_costs.card_mb(row["parameters"], 0)
        corrected = "" if row["corrected"] is None else f"{row['corrected']:.1f}"
        print(
            f"| {row['network']} | {row['px']} | {macs / 1e6:.0f} | {row['predicted']:.1f} | {corrected} | "
            f"{row['ms']:.1f} | {row['predicted_mb']:.1f} | {row['mb']:.1f} |"
        )
    print()
    for label, key in (("multiply-adds alone", "predicted"), ("corrected by the other size", "corrected")):
        pairs = np.array([(r[key], r["ms"]) for r in measured if r[key] is not None])
        ratios = pairs[:, 1] / pairs[:, 0]
        print(
            f"{label}: n {len(pairs)}, rank correlation {stats.spearmanr(*pairs.T).statistic:.3f}, measured / predicted "
            f"{ratios.min():.2f} to {ratios.max():.2f}, median {np.median(ratios):.2f}"
        )
    sizes = np.array([(r["predicted_mb"], r["mb"]) for r in measured])
    print(
        f"MB: measured / predicted {(sizes[:, 1] / sizes[:, 0]).min():.3f} to {(sizes[:, 1] / sizes[:, 0]).max():.3f}"
    )


if __name__ == "__main__":
    main()
