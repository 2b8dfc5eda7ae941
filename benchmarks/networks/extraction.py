"""Time the frozen pass of small networks: `python benchmarks/networks/extraction.py [--images N] [--rounds N]`.

Seconds for 100 images at each network's own input size, batch 20, float32, one thread, median of interleaved rounds: ratios
hold on a busy machine, seconds only for this one. Weights are random, which changes nothing about the time.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from advisor import registry
from advisor.models import backbone as engine

NETWORKS = (
    "pocket",
    "squeezenet1_1",
    "mobilenet_v2",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "resnet50",
)
BATCH = 20


def main() -> None:
    """Print one line per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    plugins = registry.load()
    networks = [plugins.backbone(name) for name in NETWORKS]
    modules = [engine.build(b).to(memory_format=torch.channels_last) for b in networks]
    seconds: dict[str, list[float]] = {b.name: [] for b in networks}
    for _ in range(args.rounds):
        for backbone, module in zip(networks, modules, strict=True):
            side = backbone.preprocess.size
            batch = torch.randn(BATCH, 3, side, side).to(memory_format=torch.channels_last)
            start = time.perf_counter()
            with torch.inference_mode():
                for _ in range(args.images // BATCH):
                    module(batch)
            seconds[backbone.name].append(100 * (time.perf_counter() - start) / args.images)
    print("| network | px | GMAC | s per 100 images |\n|---|---|---|---|")
    for backbone in networks:
        median = statistics.median(seconds[backbone.name])
        print(f"| {backbone.name} | {backbone.preprocess.size} | {(backbone.macs or 0) / 1e9:.2f} | {median:.1f} |")


if __name__ == "__main__":
    main()
