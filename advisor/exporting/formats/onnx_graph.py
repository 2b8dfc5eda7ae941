"""`--format onnx`: a graph for ONNX Runtime and others in `model.onnx`, class names and description in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.exporting import parity, sidecar

if TYPE_CHECKING:
    from advisor.exporting.parity import ComputeOutputs, ComputeProbabilities
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor
    from advisor.registry import Registry

NAME = "onnx"
FILE = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
EXTRA = "onnx"


def write(model: Predictor | EnsemblePredictor, folder: Path, run: Path, description: Mapping[str, Any]) -> None:
    """Write the graph and `model.json`. Raises OSError, AdviseError."""
    full = sidecar.with_features(description, model)
    (folder / FILE).write_bytes(serialized(model, full))
    sidecar.write(folder, full)
    sidecar.write_index(folder, model)


def serialized(model: Predictor | EnsemblePredictor, description: Mapping[str, Any]) -> bytes:
    """Return the graph as a serialised ONNX model, with the features where `description` has them.

    Raises AdviseError where it cannot be traced.
    """
    import torch

    from advisor.exporting import graph

    with_features = "features" in description
    names = [sidecar.OUTPUT, *([sidecar.FEATURES] if with_features else [])]
    program = graph.graph(model, with_features=with_features)
    made: Any = torch.onnx.export(
        program, (), dynamo=True, input_names=[sidecar.INPUT], output_names=names, verbose=False
    )
    properties = {"classes": json.dumps(description["classes"]), sidecar.FILE: sidecar.text(description)}
    made.model.metadata_props.update(properties)
    return bytes(made.model_proto.SerializeToString())


def load(folder: Path, registry: Registry) -> ComputeOutputs:
    """Return a function from uint8 (N, S, S, 3) to probabilities (N, K) and features (N, D)."""
    import onnxruntime

    opened = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])
    return lambda squares: parity.outputs(opened.run(None, {sidecar.INPUT: squares}))


def session(model: Path) -> ComputeProbabilities:
    """Open a graph in onnxruntime; return a function from uint8 (N, S, S, 3) to probabilities (N, K)."""
    import onnxruntime

    opened = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda squares: np.asarray(opened.run(None, {sidecar.INPUT: squares})[0], dtype=np.float64)


def example(model: Predictor | EnsemblePredictor) -> str:
    """Return a program that needs onnxruntime, numpy and Pillow."""
    return sidecar.example(
        model,
        package="onnxruntime",
        loading=f'model = onnxruntime.InferenceSession("{FILE}")',
        running=f'outputs = model.run(None, {{"{sidecar.INPUT}": pixels}})',
    )
