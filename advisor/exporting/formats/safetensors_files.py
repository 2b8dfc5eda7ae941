"""`--format safetensors`: the weights and `model.json` as in a run, for `advisor.load`; the resize rule in words beside it."""

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

NAME = "safetensors"
FILE = "model.safetensors"
PACKAGES: tuple[str, ...] = ()
EXTRA = ""
_FROM_RUN = ("status", "strategy", "plugin", "decision")


def write(model: Predictor | EnsemblePredictor, folder: Path, run: Path, description: Mapping[str, Any]) -> None:
    """Write the files of a run's model, or of its ensemble. Raises OSError, OutputError."""
    from advisor.models import model_files, predictor
    from advisor.models.ensemble_predictor import EnsemblePredictor

    added = {"format": NAME, "resize": description["resize"], "input": description["input"]}
    if isinstance(model, EnsemblePredictor):
        model_files.copy_ensemble(run / model_files.ENSEMBLE_FOLDER, folder, added)
        return
    same = {key: model.description[key] for key in _FROM_RUN if key in model.description}
    predictor.save(
        model.classifier,
        folder / FILE,
        folder / sidecar.FILE,
        classes=model.classes,
        preprocess=model.preprocess,
        size_px=model.size_px,
        fit=model.fit,
        temperature=model.temperature,
        extra={**same, "file": FILE, **added},
    )
    if model.index is not None:
        model_files.write_novelty(folder, model.index)


def load(folder: Path, registry: Registry) -> ComputeOutputs:
    """Return a function from uint8 (N, S, S, 3) to probabilities (N, K), without features."""
    from advisor.models import ensemble_predictor, model_files, predictor

    if (folder / model_files.ENSEMBLE).is_file():
        return parity.probabilities_only(ensemble_predictor.load(folder, registry).probabilities)
    return parity.probabilities_only(predictor.load(folder, registry).probabilities)


def example(model: Predictor | EnsemblePredictor) -> str:
    """Return a program that needs this project; `labels` applies the decision rule of the run."""
    return """\
import sys
import advisor
predictor = advisor.load(".")  # the folder with the files of this export
predictions = predictor.predict(sys.argv[1:])
for path, label, row in zip(predictions.paths, predictions.labels, predictions.probabilities):
    print(row.max(), label, path)
"""
