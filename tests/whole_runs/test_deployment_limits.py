"""A whole run under limits: what breaks one never wins, the cost is measured and written everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from photos import write_crops

import advisor
from advisor import cli
from advisor.errors import InputError
from advisor.records import recipe_file
from advisor.tuning.limits import fits_limits, graph_costs

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason="pip install 'tl-advise[onnx]'")


def test_a_run_keeps_its_limits_and_says_what_the_model_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Result, recipe, report and `runs` hold the measured cost; it is within the limits."""
    data = write_crops(tmp_path / "photos", each=12)
    result = advisor.advise(
        data, backbones=["pocket"], strategies=["ridge"], trials=1, offline=True, threads=1,
        out=tmp_path / "run", max_ms=1000.0, max_mb=20.0,
    )  # fmt: skip
    limits = result.limits
    assert limits is not None
    assert limits.cost.measured
    assert (limits.cost.ms or 1e9) <= 1000.0
    assert (limits.cost.mb or 1e9) <= 20.0
    assert [m.shipped for m in limits.models].count(True) == 1
    assert any(m.efficient for m in limits.models)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["limits"]["max_ms"] == 1000.0
    recipe = recipe_file.read(tmp_path / "run")
    assert recipe.limits is not None
    assert recipe.limits.ms == limits.cost.ms
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Score and cost" in page
    assert "--max-ms 1000" in page
    assert cli.run(["runs", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["milliseconds"] == limits.cost.ms


def test_where_nothing_fits_the_nearest_is_named(tmp_path: Path) -> None:
    """Known before any training: exit code 2, one line, no run left behind."""
    data = write_crops(tmp_path / "photos", each=6)
    with pytest.raises(InputError, match=r"keeps --max-mb 0.01; the nearest is pocket at \d+ px"):
        advisor.advise(data, backbones=["pocket"], trials=1, offline=True, out=tmp_path / "run", max_mb=0.01)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("limit_mb", [20.0, 2.0])
def test_the_leading_network_is_measured_where_its_card_promised_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_mb: float
) -> None:
    """A prediction far below a limit is no proof: the leader is measured before it wins; with no other, a warning says so."""
    monkeypatch.setattr(graph_costs, "card_mb", lambda parameters, head_values: 0.5)
    data = write_crops(tmp_path / "photos", each=12)
    result = advisor.advise(
        data, backbones=["pocket"], strategies=["ridge"], trials=1, offline=True, threads=1,
        out=tmp_path / "run", max_mb=limit_mb,
    )  # fmt: skip
    (line,) = json.loads((tmp_path / "run" / fits_limits.FILE).read_text())
    assert line["backbone"] == "pocket"
    assert line["cost"]["mb"] == pytest.approx(12.3, abs=0.5)
    assert any("above --max-mb" in w for w in result.warnings) == (limit_mb == 2.0)
