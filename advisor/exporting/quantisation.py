"""A float ONNX graph -> an INT8 one: static quantisation with pairs of QuantizeLinear and DequantizeLinear, per channel.

In: the graph of an export, uint8 squares of training images. Out: a graph whose convolutions and matrix products compute in 8
bits. What comes before the first convolution and the classifier's last product with all that follows stay in float32: they
cost next to nothing, and a probability of 8 bits would move in steps of 0.004. Does NOT cover: whether the result is good
enough (`int8_export`).
Source: Nagel et al. 2021, arXiv:2106.08295; Wu et al. 2020, arXiv:2004.09602 (calibration by percentile and entropy).
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advisor.aliases import Pixels
from advisor.exporting import sidecar

STRIDE = 10  # images whose activations are in memory at the same time
PRODUCTS = ("Gemm", "MatMul")
QUANTISED = ("Conv", *PRODUCTS, "Add", "Mul", "Concat", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to choose the ranges of activations: a calibration method of onnxruntime and its options.

    `edges` quantises the first convolution and the last one before the classifier too; without, they stay in float32.
    `weight_bits` of 7 keep sums of two products within 16 bits, where processors without VNNI saturate.
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    edges: bool = True
    weight_bits: int = 8


# Tried in this order by `int8_export`, which measures each (docs/export.md). Weights of 7 bits come first: without VNNI,
# products of 8-bit weights saturate, whatever the calibration, and a model should answer alike on all processors.
SETTINGS = (
    Setting(name="min-max, weights in 7 bits", method="MinMax", weight_bits=7),
    Setting(
        name="percentile 99.99, weights in 7 bits",
        method="Percentile",
        options={"CalibPercentile": 99.99},
        weight_bits=7,
    ),
    Setting(name="entropy, weights in 7 bits", method="Entropy", weight_bits=7),
    Setting(name="min-max", method="MinMax"),
    Setting(name="percentile 99.99", method="Percentile", options={"CalibPercentile": 99.99}),
    Setting(
        name="min-max, weights in 7 bits, edges in float32",
        method="MinMax",
        weight_bits=7,
        edges=False,
    ),
)


def prepare(source: Path, target: Path) -> None:
    """Fold constants and batch normalisation into the convolutions, and infer all shapes."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with _quietly():
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)


def quantise(prepared: Path, target: Path, setting: Setting, images_NSS3: Pixels) -> None:
    """Write the INT8 graph of a prepared one, its ranges calibrated on `images_NSS3` (uint8)."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    whole = images_NSS3[: max(1, len(images_NSS3) // STRIDE) * STRIDE]
    with _quietly():
        quantize_static(
            str(prepared),
            str(target),
            _Reader(whole),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=setting.weight_bits == 7,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=in_float(prepared, edges=setting.edges),
            calibrate_method=getattr(CalibrationMethod, setting.method),
            extra_options={"CalibStridedMinMax": min(STRIDE, len(whole)), **setting.options},
        )


def in_float(prepared: Path, *, edges: bool) -> list[str]:
    """Return the names of the nodes that stay in float32: before the first convolution, from the last product on."""
    import onnx

    nodes = list(onnx.load(prepared, load_external_data=False).graph.node)
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    products = [i for i, node in enumerate(nodes) if node.op_type in PRODUCTS]
    first = convolutions[0] if convolutions else 0
    last = products[-1] if products else len(nodes)
    chosen = {*range(first), *range(last, len(nodes))}
    if not edges and convolutions:
        chosen |= {convolutions[0], convolutions[-1]}
    return [nodes[i].name for i in sorted(chosen)]


class _Reader:
    """Feeds calibration images one by one, a stretch of `STRIDE` at a time, as onnxruntime asks for them."""

    def __init__(self, images_NSS3: Pixels) -> None:
        self.images_NSS3 = images_NSS3
        self.rows = iter(range(len(images_NSS3)))

    def __len__(self) -> int:
        return len(self.images_NSS3)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Feed the images of this stretch next."""
        self.rows = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, Pixels] | None:
        """Return the next input, None behind the last one."""
        row = next(self.rows, None)
        return None if row is None else {sidecar.INPUT: self.images_NSS3[row][None]}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silence what onnxruntime's quantiser prints and what it warns of in the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
