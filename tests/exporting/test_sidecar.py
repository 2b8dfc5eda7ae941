"""What lies beside an export: the decision rule of the objective, stated and applied by the example."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import runs

from advisor import registry
from advisor.exporting import sidecar
from advisor.metrics.decision_rule import decide
from advisor.models import model_files, predictor
from advisor.models.predictor import Predictor
from advisor.records.objective import DecisionRule

RULES = (
    DecisionRule(weights=(0.1, 1.0, 0.4)),
    DecisionRule(costs=((0.0, 1.0, 9.0), (2.0, 0.0, 1.0), (5.0, 5.0, 0.0))),
)


@pytest.fixture(scope="module", name="model")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return predictor.load(runs.make(tmp_path_factory.mktemp("sidecar"), "pocket"), registry.load())


def test_the_most_probable_class_needs_no_words(model: Predictor) -> None:
    """Without a rule of its own, the description has no decision."""
    assert "decision" not in sidecar.describe(model, "onnx", "model.onnx")


@pytest.mark.parametrize("rule", RULES, ids=["weights", "costs"])
def test_the_example_decides_as_the_product_does(
    model: Predictor, rule: DecisionRule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last lines of example.py read the rule from model.json and print the class that `decide` takes."""
    stored = {"weights": list(rule.weights), "costs": [list(row) for row in rule.costs]}
    ruled = replace(model, description={**model.description, "decision": stored})
    assert ruled.decision == rule
    description = sidecar.describe(ruled, "onnx", "model.onnx")
    sidecar.write(tmp_path, description)
    lines = sidecar.example(ruled, package="onnxruntime", loading="", running="").splitlines()
    last = [line for line in lines if line.startswith(("weights", "costs", "decided", "print"))]
    monkeypatch.chdir(tmp_path)
    for row in np.random.default_rng(0).dirichlet(np.ones(3), 10):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec("\n".join(last), {"np": np, "json": json, "probabilities": row.tolist(), "classes": list("abc")})
        assert f"'{'abc'[int(decide(row[None], rule)[0])]}'" in out.getvalue()


def test_a_threshold_is_stated_for_two_classes(model: Predictor) -> None:
    """Two weights mean a threshold on the second class, which the description spells out."""
    two = replace(
        model,
        classes=("no", "yes"),
        description={**model.description, "decision": {"weights": [0.2, 0.8], "costs": []}},
    )
    assert sidecar.describe(two, "onnx", "model.onnx")["decision"]["threshold_of_second_class"] == pytest.approx(0.2)


def test_an_ensemble_reads_its_rule(tmp_path: Path) -> None:
    """The rule lies in ensemble.json; ensembles of earlier versions have none."""
    path = tmp_path / model_files.ENSEMBLE
    path.write_text(json.dumps({"members": ["model-0"], "decision": {"weights": [0.5, 1.0], "costs": []}}))
    assert model_files.read_ensemble_decision(tmp_path, 2) == DecisionRule(weights=(0.5, 1.0))
    path.write_text(json.dumps({"members": ["model-0"]}))
    assert model_files.read_ensemble_decision(tmp_path, 2) == DecisionRule()
