"""One piece of work of the scaling benchmark, in a process of its own: `scaling_work.py WORK DIR CLASSES THREADS`.

"decode": files to cached pixels; "extraction": features of every stage with the built-in backbone; "heads": ridge and
logistic out of fold on features. Prints one JSON line: seconds of the work without imports, bytes at its start and peak.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any


def peak_bytes() -> int:
    """Return the largest resident size of this process so far; mapped pages of the cache count."""
    factor = 1024 if sys.platform.startswith("linux") else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor


def decode(data_set: Any) -> Any:
    """Decode all files to the cache."""
    from advisor import registry
    from advisor.data import pixels
    from advisor.runtime import cache

    rule = pixels.rule_for(registry.load().backbone("pocket").preprocess, 64, "crop")
    return lambda: pixels.canvas(data_set.root, data_set.items, rule, store=cache.Store())


def extraction(data_set: Any, threads: int) -> Any:
    """Extract features of all images, pixels being cached."""
    from dataclasses import replace

    from advisor import registry
    from advisor.models import backbone as backbones
    from advisor.models import features, pretrained_weights
    from advisor.records import ForwardSpec
    from advisor.runtime import device

    backbone = registry.load().backbone("pocket")
    module = backbones.build(
        backbone, pretrained_weights.read(backbone, pretrained_weights.locate(backbone, offline=True))[0]
    )
    compute = replace(device.choose("cpu", backbone), threads=threads)
    device.apply(compute)
    canvas = decode(data_set)()[0]
    return lambda: features.extract(
        backbone,
        module,
        canvas,
        ForwardSpec(backbone.preprocess, 64, compute),
        weights_key="",
        item_key="",
    )


def heads(images: int, classes: int, threads: int) -> Any:
    """Fit the probe's head and the logistic one out of fold, on made-up features of 512 dimensions."""
    import numpy as np
    import torch

    from advisor.data import splits
    from advisor.heads import fitting
    from advisor.records import Head

    torch.set_num_threads(threads)
    draw = np.random.default_rng(0)
    labels = np.arange(images) % classes
    centres = draw.normal(size=(classes, 512)).astype(np.float32)
    values = centres[labels] + 2.0 * draw.normal(size=(images, 512)).astype(np.float32)
    folds = splits.folds(labels, [str(n) for n in range(images)], k=5, seed=0)

    def work() -> None:
        for kind in ("ridge", "logistic"):
            fitting.oof(Head(kind=kind), values, labels, classes, folds, seed=0)

    return work


def main() -> None:
    """Prepare, then do the work against the clock."""
    what, folder, images, classes, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    import torch  # noqa: F401  (not part of what is measured)

    if what == "heads":
        work = heads(images, classes, threads)
    else:
        from advisor.data import dataset

        data_set = dataset.read(folder, test_split="none")
        work = decode(data_set) if what == "decode" else extraction(data_set, threads)
    before, began = peak_bytes(), time.perf_counter()
    work()
    measured = {"seconds": time.perf_counter() - began, "start_bytes": before, "peak_bytes": peak_bytes()}
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
