"""What a format of exports is: a module beside this one with the names of `ExportFormat`.

Its file may import torch and the packages of its extra only inside its functions, since listing formats loads them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from advisor.exporting.parity import ComputeOutputs
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor
    from advisor.registry import Registry


class ExportFormat(Protocol):
    """One way to write a model for other programs."""

    @property
    def NAME(self) -> str:  # noqa: N802 (a module's constant)
        """Name for `--format`."""

    @property
    def FILE(self) -> str:  # noqa: N802
        """Name of the file that holds the model; further files may lie beside it."""

    @property
    def PACKAGES(self) -> tuple[str, ...]:  # noqa: N802
        """Importable packages that it needs beyond those that are always installed."""

    @property
    def EXTRA(self) -> str:  # noqa: N802
        """The extra of this project that installs them."""

    def write(
        self, model: Predictor | EnsemblePredictor, folder: Path, run: Path, description: Mapping[str, Any]
    ) -> None:
        """Write `FILE` and `model.json` into `folder`; `description` is `sidecar.describe`'s. Raises OSError, AdviseError."""

    def load(self, folder: Path, registry: Registry) -> ComputeOutputs:
        """Load what was written, as its user would; return a function from uint8 (N, S, S, 3) to the graph's outputs."""

    def example(self, model: Predictor | EnsemblePredictor) -> str:
        """Return a program of some twenty lines that classifies one photo with the exported file."""
