"""`--format openvino`: `model.xml` with its weights in `model.bin`, for Intel CPUs, GPUs and NPUs and for ARM CPUs.

Made from the ONNX graph by OpenVINO's own reader. Weights stay in float32 and are computed in float32 for the comparison with
`predict`; a device may be told to compute in less.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.exporting import parity, sidecar

if TYPE_CHECKING:
    from advisor.exporting.parity import ComputeOutputs
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor
    from advisor.registry import Registry

NAME = "openvino"
FILE = "model.xml"
# Left to itself, openvino computes in bfloat16 on processors that can: probabilities then differ in the third digit.
PRECISION = "INFERENCE_PRECISION_HINT"
PACKAGES = ("openvino", "onnx", "onnxscript")
EXTRA = "openvino"


def write(model: Predictor | EnsemblePredictor, folder: Path, run: Path, description: Mapping[str, Any]) -> None:
    """Write `model.xml`, `model.bin` and `model.json`. Raises OSError, AdviseError."""
    import openvino

    from advisor.exporting.formats import onnx_graph

    full = sidecar.with_features(description, model)
    graph = openvino.Core().read_model(model=onnx_graph.serialized(model, full))
    graph.set_rt_info(sidecar.text(full), ["model_info", "tl_advise"])
    try:
        openvino.save_model(graph, folder / FILE, compress_to_fp16=False)
    except RuntimeError as error:  # OpenVINO has no error of its own for a full disk
        raise OSError(str(error).strip().splitlines()[-1]) from error
    sidecar.write(folder, full)
    sidecar.write_index(folder, model)


def load(folder: Path, registry: Registry) -> ComputeOutputs:
    """Return a function from uint8 (N, S, S, 3) to probabilities (N, K) and features (N, D), in float32 on the CPU."""
    import openvino

    compiled = openvino.Core().compile_model(folder / FILE, "CPU", {PRECISION: "f32"})
    return lambda squares: parity.outputs(list(compiled(squares).values()))


def example(model: Predictor | EnsemblePredictor) -> str:
    """Return a program that needs openvino, numpy and Pillow."""
    return sidecar.example(
        model,
        package="openvino",
        loading=f'model = openvino.Core().compile_model("{FILE}", "AUTO", {{"{PRECISION}": "f32"}})',
        running="outputs = list(model(pixels).values())",
    )
