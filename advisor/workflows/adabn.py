"""BatchNorm statistics of one domain's images, in place of those that training left (AdaBN; no label is needed).

In: a network and rows of the source or of the target. Out: the same network with other running means and variances.
Source: Li et al. 2016 (1603.04779). Does NOT cover: training.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from advisor.models import inference
from advisor.models.classifier import Classifier
from advisor.records import TrainPlan
from advisor.workflows.session import Bench


def has_statistics(network: Classifier) -> bool:
    """Whether there is anything to replace."""
    return any(isinstance(m, _BatchNorm) for m in network.body.modules())


def use_target(bench: Bench, plan: TrainPlan, network: Classifier) -> None:
    """Replace BatchNorm's running statistics by those of the target's images, in place."""
    canvas = bench.resources.target_canvas(bench.resources.rule(bench.backbone, bench.size_px, plan.fit))[0]
    _use(bench, network, canvas, np.arange(len(canvas)))


def use_source(bench: Bench, plan: TrainPlan, network: Classifier, rows: npt.NDArray[np.int64]) -> None:
    """Replace BatchNorm's running statistics by those of these source images, in place."""
    canvas = bench.resources.canvas(bench.resources.rule(bench.backbone, bench.size_px, plan.fit))
    _use(bench, network, canvas, rows)


def _use(bench: Bench, network: Classifier, canvas: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> None:
    norms = [m for m in network.body.modules() if isinstance(m, _BatchNorm)]
    momenta = [m.momentum for m in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over batches
        norm.train()
    order = rows[np.random.default_rng(0).permutation(len(rows))]
    compute = bench.resources.compute(bench.backbone)
    with torch.no_grad(), inference.autocast(compute):
        for images_NCHW, _ in inference.batches(
            canvas, order, preprocess=bench.backbone.preprocess, size_px=bench.size_px, compute=compute
        ):
            network.features(images_NCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
