"""What computes the answers of a server: the predictor itself in torch, or its graph in ONNX Runtime.

In: a predictor. Out: a function from decoded squares to probabilities and how unlike the training images they are. Does NOT
cover: forming batches (`batcher`), heatmaps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from advisor.aliases import Pixels
from advisor.data import pixels
from advisor.errors import InputError
from advisor.metrics import novelty
from advisor.models import inference
from advisor.models.predict import SquareOutputs
from advisor.records import Compute

Engine = Callable[[Pixels], SquareOutputs]  # of uint8 (N, S, S, 3), S at least the side of the model's input


def in_torch(predictor: Any, compute: Compute | None = None) -> Engine:
    """Return the predictor's own answers, in the batch sizes of `predict`: one image costs one pass, not one of 64.

    `compute` says where; without it on the CPU.
    """
    return lambda squares: predictor.answers(squares, compute=compute, sizes=inference.small_batches(len(squares)))


def in_onnxruntime(predictor: Any, threads: int) -> Engine:
    """Export the predictor to ONNX in memory, and answer by ONNX Runtime with so many threads.

    Raises InputError where the packages are missing, AdviseError where the network cannot be traced.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"--engine onnxruntime needs packages that are not installed ({error.name}).",
            hint="pip install 'tl-advise[onnx]'",
        ) from None
    from advisor.exporting import parity, sidecar
    from advisor.exporting.formats import onnx_graph

    described = sidecar.with_features(sidecar.describe(predictor, onnx_graph.NAME, onnx_graph.FILE), predictor)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    graph = onnx_graph.serialized(predictor, described)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def answers(squares: Pixels) -> SquareOutputs:
        inputs = {sidecar.INPUT: np.ascontiguousarray(pixels.centre(squares, predictor.size_px))}
        probabilities, features = parity.outputs(session.run(None, inputs))
        if predictor.index is None or features is None:
            return SquareOutputs(probabilities)
        return SquareOutputs(probabilities, novelty.p_values(predictor.index, features))

    return answers
