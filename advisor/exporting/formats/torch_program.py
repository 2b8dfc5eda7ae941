"""`--format torch`: a program of torch.export in `model.pt2`, with its description inside; running it needs only torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.aliases import Pixels
from advisor.exporting import parity, sidecar

if TYPE_CHECKING:
    from advisor.exporting.parity import ComputeOutputs
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor
    from advisor.registry import Registry

NAME = "torch"
FILE = "model.pt2"
PACKAGES: tuple[str, ...] = ()
EXTRA = ""


def write(model: Predictor | EnsemblePredictor, folder: Path, run: Path, description: Mapping[str, Any]) -> None:
    """Write the traced program and `model.json`. Raises OSError, AdviseError."""
    import torch

    from advisor.exporting import graph

    # Into memory first: torch's own file writer answers a full disk with an error of no particular kind.
    buffer = io.BytesIO()
    full = sidecar.with_features(description, model)
    program = graph.graph(model, with_features="features" in full)
    torch.export.save(program, buffer, extra_files={sidecar.FILE: sidecar.text(full)})
    (folder / FILE).write_bytes(buffer.getbuffer())
    sidecar.write(folder, full)
    sidecar.write_index(folder, model)


def load(folder: Path, registry: Registry) -> ComputeOutputs:
    """Return a function from uint8 (N, S, S, 3) to probabilities (N, K) and features (N, D)."""
    import torch

    module = torch.export.load(folder / FILE).module()

    def run_module(squares: Pixels) -> parity.Outputs:
        with torch.inference_mode():
            answered = module(torch.from_numpy(np.ascontiguousarray(squares)))
        each = answered if isinstance(answered, tuple) else (answered,)
        return parity.outputs([tensor.numpy() for tensor in each])

    return run_module


def example(model: Predictor | EnsemblePredictor) -> str:
    """Return a program that needs torch, numpy and Pillow."""
    return sidecar.example(
        model,
        package="torch",
        loading=f'model = torch.export.load("{FILE}").module()',
        running="outputs = [tensor.detach().numpy() for tensor in model(torch.from_numpy(pixels))]",
    )
