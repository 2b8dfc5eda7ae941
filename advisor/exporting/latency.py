"""How long an exported graph takes for one image, and how large its file is: what `--max-ms` and `--max-mb` limit.

In: an ONNX model, or a backbone at an input size with random weights, which take as long as trained ones. Out: the median of
single images on one thread of this machine, behind a warm-up; megabytes of 10^6 bytes. Does NOT cover: predicting either
without a measurement (`tuning.limits`).
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advisor.aliases import Pixels
from advisor.exporting import sidecar
from advisor.records.limits import GraphCost

if TYPE_CHECKING:
    from advisor.hooks import Backbone
    from advisor.models.predictor import Predictor
    from advisor.registry import Registry

THREADS = 1
IMAGES = 100  # timed one by one
WARM = 10


def of_model(model: Path | bytes, images_NSS3: Pixels) -> GraphCost:
    """Measure an ONNX model, a file or its bytes, on single images of `images_NSS3` (uint8), used in turn."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    taken_s = []
    for turn in range(WARM + IMAGES):
        image_1SS3 = images_NSS3[turn % len(images_NSS3)][None]
        began = time.perf_counter()
        session.run(None, {sidecar.INPUT: image_1SS3})
        taken_s.append(time.perf_counter() - began)
    size = len(model) if isinstance(model, bytes) else model.stat().st_size
    return GraphCost(ms=1e3 * statistics.median(taken_s[WARM:]), mb=size / 1e6, measured=True)


def of_backbone(backbone: Backbone, size_px: int, classes: int) -> GraphCost:
    """Measure the graph of a backbone with random weights and a linear head, as an export of it would be.

    Needs the packages of the extra "onnx". Raises AdviseError where it cannot be traced.
    """
    import torch

    from advisor.heads.linear_head import LinearHead
    from advisor.models import backbone as backbones
    from advisor.models.classifier import Classifier
    from advisor.models.predictor import Predictor

    head = LinearHead(torch.zeros(classes, backbone.dim), torch.zeros(classes))
    predictor = Predictor(
        classifier=Classifier(backbone, backbones.build(backbone, seed=0).eval(), head, "last").eval(),
        classes=tuple(map(str, range(classes))),
        preprocess=backbone.preprocess,
        size_px=size_px,
        fit="crop",
        temperature=1.0,
        description={"backbone": backbone.name, "weights_sha256": ""},
    )
    return of_predictor(predictor)


def of_run(folder: Path, registry: Registry) -> GraphCost:
    """Measure the graph of the model that a folder holds, as an export of it would be. Raises AdviseError."""
    from advisor.models import predictor

    return of_predictor(predictor.load(folder, registry))


def of_predictor(predictor: Predictor) -> GraphCost:
    """Measure the graph of a model on noise, which takes as long as photos."""
    from advisor.exporting.formats import onnx_graph

    px = predictor.size_px
    noise_NSS3 = np.random.default_rng(0).integers(0, 256, (8, px, px, 3), dtype=np.uint8)
    return of_model(onnx_graph.serialized(predictor, sidecar.describe(predictor, "onnx", onnx_graph.FILE)), noise_NSS3)
