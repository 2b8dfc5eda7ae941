"""Step efficiency: the product's images per second against the same network on a constant batch in the same precision.

Product and ceiling take turns; a row holds the median of the ratios of neighbouring turns, and their range. Work:
"extraction" (all stages' features), "full" and "last stage" (training, light augmentation), and "last stage, bank" (the
frozen part read from memory, once it is filled). Images are random pixels: their content costs nothing.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ledger

BACKBONES = ("mobilenet_v2", "squeezenet1_1", "pocket")
SIZES = (224, 128, 96)
WORK = ("extraction", "full", "last stage", "last stage, bank")
CLASSES, BATCH = 10, 32
TURN_S = 4.0  # length of a turn, about; a turn of extraction folds BatchNorm once, as one for a few hundred images does
PAGE = ledger.ROOT / "docs" / "speed.md"


def seconds(done: Callable[[], int]) -> tuple[float, int]:
    """Time one turn: (seconds, images)."""
    began = time.perf_counter()
    images = done()
    return time.perf_counter() - began, images


def turns(product: Callable[[], int], ceiling: Callable[[], int], rounds: int) -> list[tuple[float, float]]:
    """Run both in turns, the order changing; return (product, ceiling) images per second."""
    import torch

    product(), ceiling()  # caches and allocators
    pairs = []
    for number in range(rounds):
        pair = {}
        for which in (product, ceiling) if number % 2 else (ceiling, product):
            torch.use_deterministic_algorithms(which is product, warn_only=True)  # the ceiling owes nobody equal bits
            took, images = seconds(which)
            pair[which] = images / took
        pairs.append((pair[product], pair[ceiling]))
    return pairs


def repeated(step: Callable[[], Any], images: int, times: int) -> Callable[[], int]:
    """Return a turn of so many steps of `images` images."""

    def turn() -> int:
        for _ in range(times):
            step()
        return images * times

    return turn


def steps_in_turn(step: Callable[[], Any], images: int = 1) -> int:
    """Count the steps that fit into a turn; at least two."""
    step()
    took = min(seconds(lambda: (step(), images)[1])[0] for _ in range(2))
    return max(2, round(TURN_S / took))


def extraction(backbone: Any, module: Any, compute: Any, size_px: int, rounds: int) -> list[tuple[float, float]]:
    """Race feature extraction, without a cache, against its ceiling."""
    import ceiling
    import numpy as np

    from advisor.data import pixels
    from advisor.models import features
    from advisor.records import ForwardSpec

    batch = compute.inference_batch
    step = ceiling.extraction(backbone, copy.deepcopy(module), compute, size_px, batch)
    times = steps_in_turn(step)
    side = pixels.rule_for(backbone.preprocess, size_px, "crop").side_px
    canvas = np.random.default_rng(0).integers(0, 256, (times * batch, side, side, 3), dtype=np.uint8)

    def product() -> int:
        features.extract(
            backbone,
            module,
            canvas,
            ForwardSpec(backbone.preprocess, size_px, compute),
            weights_key="",
            item_key="",
        )
        return len(canvas)

    return turns(product, repeated(step, batch, times), rounds)


def training(backbone: Any, module: Any, compute: Any, size_px: int, work: str, rounds: int) -> list[Any]:
    """Race a training loop with the strategy's first guess against its ceiling."""
    import ceiling

    bank = work.endswith("bank")
    plan = _plan(backbone, size_px, "full" if work == "full" else "partial")
    trained = {name for phase in plan.phases for name, rate in phase.rates.items() if rate > 0}
    step = ceiling.training(
        backbone, copy.deepcopy(module), compute, size_px, BATCH, CLASSES, trained, from_prefix=bank
    )
    times = steps_in_turn(step)
    loop = _loop(backbone, module, plan, size_px, compute, bank)
    if bank and not loop.cached:
        return []
    run = loop.run()
    for _ in range(2 * 128 // BATCH + 1):  # both views of the 128 images: the bank is full then
        next(run)
    return turns(repeated(lambda: next(run), BATCH, times), repeated(step, BATCH, times), rounds)


def _plan(backbone: Any, size_px: int, strategy_name: str) -> Any:
    from dataclasses import replace

    from advisor import registry
    from advisor.hooks import Context
    from advisor.models.backbone import stage_sizes

    stages = stage_sizes(backbone)
    strategy = registry.load().strategy(strategy_name)
    context = Context(
        images=128,
        classes=CLASSES,
        class_counts=(128 // CLASSES,) * CLASSES,
        stages=stages,
        has_norm=any(s.has_norm for s in stages),
        dim=backbone.dim,
        batch=BATCH,
        size_px=size_px,
    )
    plan = strategy.plan({**strategy.first_guesses(context)[0], "batch": BATCH}, context)
    return replace(plan, steps=1_000_000, views=2 if plan.views else 0)


def _loop(backbone: Any, module: Any, plan: Any, size_px: int, compute: Any, bank: bool) -> Any:
    import numpy as np

    from advisor.data import pixels
    from advisor.heads import linear_head
    from advisor.models.classifier import Classifier
    from advisor.training import loop as training

    side = pixels.rule_for(backbone.preprocess, size_px, "crop").side_px
    canvas = np.random.default_rng(0).integers(0, 256, (128, side, side, 3), dtype=np.uint8)
    data = training.TrainData(
        canvas=canvas,
        labels=np.arange(128) % CLASSES,
        ids=np.arange(128).astype(np.uint64),
        rows=np.arange(128),
    )
    head = linear_head.initial("zeros", backbone.dim, CLASSES, seed=0)
    limit = {} if bank else {"cache_bytes": 0}
    return training.Loop(
        Classifier(backbone, module, head), plan, data, size_px=size_px, seed=0, compute=compute, **limit
    )


def cells(only: list[str] | None) -> Iterator[tuple[str, int, str]]:
    """List backbone, size and work; `only` keeps those of which each word is a part ("pocket 96")."""
    for name, size_px, work in itertools.product(BACKBONES, SIZES, WORK):
        words = f"{name} {size_px} {work}"
        if not only or any(all(part in words for part in asked.split()) for asked in only):
            yield name, size_px, work


def measure(name: str, size_px: int, work: str, threads: int, rounds: int) -> dict[str, Any]:
    """Measure one cell."""
    from dataclasses import replace

    from advisor import registry
    from advisor.models import backbone as backbones
    from advisor.models import pretrained_weights
    from advisor.runtime import device

    backbone = registry.load().backbone(name)
    module = backbones.build(
        backbone, pretrained_weights.read(backbone, pretrained_weights.locate(backbone, offline=True))[0]
    )
    compute = replace(device.choose("cpu", backbone), threads=threads)
    device.apply(compute)
    if work == "extraction":
        pairs = extraction(backbone, module, compute, size_px, rounds)
    else:
        pairs = training(backbone, module, compute, size_px, work, rounds)
    ratios = [product / ceiling for product, ceiling in pairs]
    return {
        "product": round(statistics.median(p for p, _ in pairs), 1) if pairs else None,
        "ceiling": round(statistics.median(c for _, c in pairs), 1) if pairs else None,
        "ratio": round(statistics.median(ratios), 4) if pairs else None,
        "ratios": [round(r, 4) for r in ratios],
        "precision": compute.precision,
    }


def publish() -> None:
    """Write the table."""
    rows = [r for r in ledger.Ledger(ledger.RESULTS, "speed").rows if r["part"] == "steps"]
    before = {(r["backbone"], r["size_px"], r["work"], r["threads"]): r for r in rows if r["code"] == "before"}
    lines = []
    for r in (r for r in rows if r["code"] == "now" and r["ratio"]):
        old = before.get((r["backbone"], r["size_px"], r["work"], r["threads"]))
        lines.append(
            [
                f"{r['backbone']}, {r['size_px']} px, {r['precision']}",
                r["work"],
                str(r["threads"]),
                f"{r['product']:.0f}",
                f"{r['ceiling']:.0f}",
                f"{r['ratio']:.3f} ({min(r['ratios']):.3f}-{max(r['ratios']):.3f})",
                *([f"{old['ratio']:.3f}" if old and old["ratio"] else ""] if before else []),
            ]
        )
    titles = ["network, input", "work", "threads", "images/s", "ceiling", "ratio (range)"]
    titles += ["ratio before"] if before else []
    ledger.publish("steps", ledger.table(titles, lines) + f"\n{ledger.machine()}.\n", PAGE)


def main(arguments: list[str]) -> None:
    """Measure the cells that are missing."""
    parser = argparse.ArgumentParser(prog="run.py steps", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help='words of a cell, such as "pocket 96 full" (repeatable)')
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--source", type=Path, help="an older checkout, whose code is measured as `before`")
    args = parser.parse_args(arguments)
    if args.source:
        sys.path[:0] = [str(args.source), str(args.source / "plugins")]
    os.environ.setdefault("TORCH_HOME", str(ledger.shared() / "torch_home"))
    book = ledger.Ledger(ledger.RESULTS, "speed")
    for name, size_px, work in cells(args.only):
        key = {"part": "steps", "backbone": name, "size_px": size_px, "work": work, "threads": args.threads}
        key["code"] = "before" if args.source else "now"
        if not book.has(**key):
            row = {**key, **measure(name, size_px, work, args.threads, args.rounds)}
            print(row, flush=True)
            book.add(row)
    publish()
