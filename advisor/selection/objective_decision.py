"""The objective's score on the held-out test set, and the decision rule chosen on validation with what it changes there.

In: the winner's saved validation logits, the saved test logits. Out: a `DecisionRule`, an `ObjectiveScore`, a
`DecisionEffect`. The rule never sees the test images. Does NOT cover: the scores themselves (`metrics.objectives`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.data.tables import cost_file
from advisor.metrics import classification, intervals, objectives
from advisor.metrics.decision_rule import MOST_PROBABLE, decide
from advisor.metrics.objectives import held_out
from advisor.records import (
    Gain,
    Settings,
    Trial,
)
from advisor.records.objective import DecisionEffect, DecisionRule, ObjectiveScore, ObjectiveSpec
from advisor.runtime import stored_arrays
from advisor.runtime.run_dir import RunDir

ON_VALIDATION = "on the validation images that chose it; no test score"


def requested(settings: Settings, rundir: RunDir, classes: Sequence[str]) -> ObjectiveSpec:
    """Return the score that decides: that of an earlier process of this run, else the one that the settings name."""
    spec = rundir.read("objective.json", ObjectiveSpec) or cost_file.objective(settings.objective, classes)
    if spec != ObjectiveSpec():
        rundir.write("objective.json", spec)
    return spec


def choose_rule(run_dir: Path, winner: Trial, objective: ObjectiveSpec) -> DecisionRule:
    """Return the rule that the objective asks for on the winner's out-of-fold predictions of the first repeat."""
    saved = stored_arrays.read(run_dir / winner.predictions)
    return held_out.rule(objective, saved["logits"], saved["labels"], winner.temperature)


def score_test(path: Path, position: int, objective: ObjectiveSpec, rule: DecisionRule) -> ObjectiveScore:
    """Return the score of one of the tested models, by its position in the file of test logits, which are calibrated."""
    saved = stored_arrays.read(path)
    probabilities_nK = classification.probabilities(saved["logits"][position])
    return objectives.score(objectives.make(objective), probabilities_nK, saved["labels"], rule, groups=saved["groups"])


def score_validation(run_dir: Path, trial: Trial, objective: ObjectiveSpec) -> ObjectiveScore:
    """Return the score on the validation images that chose it, without an interval: it is optimistic."""
    saved = stored_arrays.read(run_dir / trial.predictions)
    logits_nK, labels_n = saved["logits"], saved["labels"]
    rule = held_out.rule(objective, logits_nK, labels_n, trial.temperature)
    probabilities_nK = classification.probabilities(logits_nK, temperature=trial.temperature)
    value = objectives.value(objectives.make(objective), probabilities_nK, labels_n, rule)
    return ObjectiveScore(name=objective.name, value=value, ci95=None, n=len(labels_n), note=ON_VALIDATION)


def effect(path: Path, rule: DecisionRule) -> DecisionEffect | None:
    """Return what the rule changes on the test images, beside the most probable class; None where it is that anyway."""
    if rule == MOST_PROBABLE:
        return None
    saved = stored_arrays.read(path)
    probabilities_nK, labels_n = classification.probabilities(saved["logits"][0]), saved["labels"]
    tables = []
    for each in (MOST_PROBABLE, rule):
        table = np.zeros((probabilities_nK.shape[1],) * 2, dtype=np.int64)
        np.add.at(table, (labels_n, decide(probabilities_nK, each)), 1)
        tables.append(tuple(tuple(int(v) for v in row) for row in table))
    return DecisionEffect(rule=rule, threshold=rule.threshold, without=tables[0], with_rule=tables[1])


def compare_on_test(
    winner: npt.NDArray[np.bool_], default: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64]
) -> Gain:
    """Compare two models on the same test images, of which those of one group stay together.

    `within_noise` where the 95 % interval of the difference holds zero, as it does with too few images or groups. Models that
    are right on the same images differ on others: on as many as Wilson's interval of 0 in so many groups allows.
    """
    a, b = winner.astype(float), default.astype(float)
    low, high = intervals.paired_bootstrap(a, b, groups=groups) if intervals.enough_groups(groups) else (-1.0, 1.0)
    if intervals.enough_groups(groups) and bool((winner == default).all()):  # a bootstrap of zeros has no spread
        most = intervals.wilson(0, len(np.unique(groups)))[1]
        low, high = -most, most
    return Gain(over_baseline=float(a.mean() - b.mean()), ci95=(low, high), within_noise=bool(low <= 0.0 <= high))
