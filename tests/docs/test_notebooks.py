"""The notebooks of the documentation run from top to bottom, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def cells(notebook: Path, kind: str) -> list[str]:
    """Return the text of all cells of a kind."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    """Its code cells, one after another as a kernel runs them, end without an error."""
    program = tmp_path / f"{notebook.stem}.py"
    program.write_text("\n\n".join(cells(notebook, "code")) + "\n", encoding="utf-8")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_output(notebook: Path) -> None:
    """Outputs are made by running it: what is stored never goes out of date, and shows no path of anybody."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert not [cell for cell in content["cells"] if cell.get("outputs") or cell.get("execution_count")]
    assert cells(notebook, "markdown")[0].startswith("# ")
