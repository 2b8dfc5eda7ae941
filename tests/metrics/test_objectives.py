"""Rules of the objectives: scikit-learn is the reference, per-image values average to the score, nothing is ever nan."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as reference

from advisor.metrics import objectives
from advisor.metrics.decision_rule import decide
from advisor.metrics.objectives import prior_rule
from advisor.records.objective import OBJECTIVES, DecisionRule, ObjectiveName, ObjectiveSpec

COSTS = ((0.0, 1.0, 5.0, 2.0), (3.0, 0.0, 1.0, 1.0), (10.0, 1.0, 0.0, 1.0), (1.0, 1.0, 1.0, 0.0))


def make(name: ObjectiveName) -> objectives.Objective:
    """Return an objective; the cost has the table above."""
    return objectives.make(ObjectiveSpec(name=name, costs=COSTS if name == "cost" else ()))


def drawn(n: int = 300, prior: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1), seed: int = 0) -> tuple[NDArray, NDArray]:
    """Draw calibrated-looking probabilities (n, K) and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(prior), n, p=prior)
    logits = rng.normal(size=(n, len(prior))) + np.log(prior)
    logits[np.arange(n), labels] += 1.5
    shares = np.exp(logits)
    return shares / shares.sum(1, keepdims=True), labels


@pytest.mark.parametrize("name", OBJECTIVES)
def test_scikit_learn_is_the_reference(name: ObjectiveName) -> None:
    """Every score equals scikit-learn's, the cost the mean of the table's entries."""
    p, labels = drawn()
    decided = p.argmax(1)
    by_cost = (p @ np.asarray(COSTS)).argmin(1)
    expected = {
        "log_loss": reference.log_loss(labels, p),
        "accuracy": reference.accuracy_score(labels, decided),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, decided),
        "macro_f1": reference.f1_score(labels, decided, average="macro"),
        "auroc": reference.roc_auc_score(labels, p, multi_class="ovr", average="macro"),
        "cost": np.mean([COSTS[i][j] for i, j in zip(labels, by_cost, strict=True)]),
    }[name]
    assert objectives.value(make(name), p, labels) == pytest.approx(expected, abs=1e-12)


def test_two_classes_equal_the_reference_as_well() -> None:
    """With two classes AUROC is the binary one, ties counted half."""
    p, labels = drawn(prior=(0.8, 0.2))
    p = p.round(1)
    p /= p.sum(1, keepdims=True)
    assert objectives.value(make("auroc"), p, labels) == pytest.approx(reference.roc_auc_score(labels, p[:, 1]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_values_are_influences(name: ObjectiveName) -> None:
    """Weighting one image a little more moves the score by its value's distance from the mean over n."""
    p, labels = drawn(n=80)
    objective = make(name)
    items = objective.items(p, labels, DecisionRule())
    assert items is not None
    copies = 50  # the set 50 times over, and one image once more: a weight of 1 + 1/50
    many_p, many = np.repeat(p, copies, axis=0), np.repeat(labels, copies)
    before = objectives.value(objective, many_p, many)
    for i in (0, 7, 41):
        after = objectives.value(objective, np.vstack([many_p, p[i : i + 1]]), np.append(many, labels[i]))
        assert before is not None
        assert after is not None
        assert (after - before) * (len(many) + 1) == pytest.approx(items[i] - items.mean(), abs=0.02)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_small_folds_are_said_and_never_nan(name: ObjectiveName) -> None:
    """A missing class is noted, a single class leaves AUROC undefined, no image leaves all undefined."""
    p, labels = drawn(n=40)
    without = objectives.score(make(name), p[labels != 3], labels[labels != 3])
    assert without.value == without.value
    if name in ("balanced_accuracy", "macro_f1", "auroc"):
        assert "over 3 of 4 classes" in without.note
    alone = objectives.score(make(name), p[labels == 0], labels[labels == 0])
    assert (alone.value is None) == (name == "auroc")
    assert (alone.ci95 is None) == (name == "auroc")
    empty = objectives.score(make(name), p[:0], labels[:0])
    assert (empty.value, empty.ci95, empty.n) == (None, None, 0)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_intervals_hold_the_score_and_widen_with_groups(name: ObjectiveName) -> None:
    """The score lies inside; images in groups of five equal ones count as one each."""
    p, labels = drawn(n=60)
    plain = objectives.score(make(name), p, labels)
    copies = objectives.score(make(name), np.repeat(p, 5, axis=0), np.repeat(labels, 5), groups=np.repeat(range(60), 5))
    assert plain.ci95 is not None
    assert copies.ci95 is not None
    assert plain.value is not None
    assert plain.ci95[0] <= plain.value <= plain.ci95[1]
    assert copies.ci95[1] - copies.ci95[0] > 0.8 * (plain.ci95[1] - plain.ci95[0])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_perfect_score_is_not_certain(name: ObjectiveName) -> None:
    """Where everything is right the bound on the other side still leaves room."""
    labels = np.repeat([0, 1, 2, 3], [20, 20, 20, 5])
    p = np.full((65, 4), 1e-6)
    p[np.arange(65), labels] = 1 - 3e-6
    score = objectives.score(make(name), p, labels)
    assert score.ci95 is not None
    low, high = score.ci95
    if make(name).higher_is_better:
        assert (low < 0.995, high) == (True, 1.0)
    elif name == "cost":
        assert (low, high > 0.05) == (0.0, True)


def test_accuracy_has_wilsons_interval() -> None:
    """Without groups it is the interval that the test score has had all along."""
    from advisor.metrics import intervals

    p, labels = drawn()
    right = int((p.argmax(1) == labels).sum())
    assert objectives.score(make("accuracy"), p, labels).ci95 == intervals.wilson(right, len(labels))


def test_the_rule_for_balanced_accuracy_helps_rare_classes() -> None:
    """On held-out images of the same kind the chosen weights raise balanced accuracy; accuracy asks for none."""
    p, labels = drawn(n=2000, prior=(0.85, 0.1, 0.04, 0.01))
    other_p, other = drawn(n=2000, prior=(0.85, 0.1, 0.04, 0.01), seed=1)
    objective = make("balanced_accuracy")
    rule = objective.rule(p, labels)
    plain, ruled = objectives.value(objective, other_p, other), objectives.value(objective, other_p, other, rule)
    assert plain is not None
    assert ruled is not None
    assert ruled > plain + 0.05
    assert make("accuracy").rule(p, labels) == DecisionRule()
    assert rule.weights[3] == 1.0 > rule.weights[0]


def test_a_threshold_is_a_pair_of_weights() -> None:
    """Class 1 is answered above the threshold, and the rule states it; costs imply theirs."""
    p = np.array([[0.75, 0.25], [0.65, 0.35], [0.2, 0.8]])
    rule = DecisionRule(weights=(0.3, 0.7))
    assert decide(p, rule).tolist() == [0, 1, 1]
    assert rule.threshold == pytest.approx(0.3)
    costly = DecisionRule(costs=((0.0, 1.0), (4.0, 0.0)))  # missing class 1 costs four times a false alarm
    assert costly.threshold == pytest.approx(0.2)
    assert decide(p, costly).tolist() == [1, 1, 1]
    assert DecisionRule().threshold is None
    assert (
        DecisionRule(costs=((5.0, 0.0), (2.0, 0.0))).threshold is None
    )  # class 1 always: no threshold, and none of 1.67


def test_a_loss_on_few_images_warns() -> None:
    """One image with nearly all of the loss: the interval may be too narrow, and the note states it."""
    p, labels = drawn(n=200)
    p[:] = 1e-4 / 3
    p[np.arange(200), labels] = 1 - 1e-4
    p[0] = np.roll(p[0], 1)
    assert "rests on few images" in objectives.score(make("log_loss"), p, labels).note
    assert prior_rule.missing_classes(labels, 4) == ""
