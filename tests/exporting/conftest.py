"""A run to export."""

from __future__ import annotations

from pathlib import Path

import pytest
import runs


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small network, and 24 photos beside it."""
    return runs.make(tmp_path_factory.mktemp("export"), "squeezenet1_1")
