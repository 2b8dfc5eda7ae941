"""A whole run decided by another score: it decides, is written everywhere, and the model carries its decision rule."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from photos import write_crops

import advisor
from advisor.errors import InputError
from advisor.records import recipe_file


def test_costs_decide_a_run_and_travel_with_the_model(tmp_path: Path) -> None:
    """Result, recipe and model hold the costs; the mean cost on the test set is that of the confusion matrix."""
    data = write_crops(tmp_path / "photos", each=16)
    names = sorted(p.name for p in data.iterdir() if p.is_dir())
    costs = [[0.0 if i == j else (20.0 if i == 0 else 1.0) for j in range(len(names))] for i in range(len(names))]
    with open(tmp_path / "costs.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["true", *names], *([n, *row] for n, row in zip(names, costs, strict=True))])
    result = advisor.advise(
        data,
        backbones=["pocket"],
        strategies=["ridge", "logistic"],
        size=64,
        trials=1,
        offline=True,
        objective=f"cost:{tmp_path / 'costs.csv'}",
        out=tmp_path / "run",
    )
    score, decision = result.objective, result.decision
    assert score is not None
    assert decision is not None
    total = sum(costs[i][j] * n for i, row in enumerate(decision.with_rule) for j, n in enumerate(row))
    assert score.value == pytest.approx(total / score.n)
    assert score.ci95 is not None
    assert score.ci95[0] <= score.value <= score.ci95[1]
    written = json.loads((tmp_path / "run" / "result.json").read_text())["objective"]
    assert (written["name"], written["value"]) == ("cost", score.value)
    with open(tmp_path / "run" / "predictions.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = [[sum(r["label"] == i and r["predicted"] == j for r in rows) for j in names] for i in names]
    assert table == [list(row) for row in decision.with_rule]
    recipe = recipe_file.read(tmp_path / "run")
    assert recipe.objective is not None
    assert [list(row) for row in recipe.objective.costs] == costs
    predictor = advisor.load(tmp_path / "run")
    assert [list(row) for row in predictor.decision.costs] == costs
    answers = predictor.predict([str(p) for p in sorted(data.rglob("*.jpg"))[:6]])
    expected = (answers.probabilities @ costs).argmin(axis=1)
    assert answers.labels == tuple(names[k] for k in expected)
    assert "Objective: mean cost" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.parametrize(
    ("objective", "expected"),
    [("f1", "there is no such objective"), ("cost:", "expected a file"), ("cost:none.csv", "cannot be read")],
)
def test_an_unknown_objective_is_refused_before_any_work(tmp_path: Path, objective: str, expected: str) -> None:
    """One line, and no run directory."""
    with pytest.raises(InputError, match=expected):
        advisor.advise(tmp_path, objective=objective, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
