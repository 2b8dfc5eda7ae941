"""Heads of every kind on real digits: accurate, calibrated, safe to start training from, the same twice."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from advisor.data import splits
from advisor.errors import InputError
from advisor.heads import fitting, linear_head, outputs, registry
from advisor.metrics import classification
from advisor.records import Head

pytestmark = pytest.mark.usefixtures("one_thread")

FITTED = ("ridge", "logistic", "prototypes", "cosine_prototypes", "knn")


def _digits(n: int = 150, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=4, return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))  # the file is sorted by writer
    images, labels = images[order], labels[order]
    return images[start : start + n].astype(np.float32), labels[start : start + n]


@pytest.mark.parametrize("kind", FITTED)
def test_a_head_learns_and_is_calibrated(kind: str) -> None:
    """Fitted on 150 digits a head is right on most of 300 new ones, with probabilities that mean what they say."""
    x, y = _digits()
    new_x, new_y = _digits(300, start=200)
    logits = outputs.predict(fitting.fit(Head(kind=kind), x, y, 4), new_x)
    assert logits.shape == (300, 4)
    assert classification.accuracy(logits, new_y) > 0.9
    assert classification.log_loss(logits, new_y) < 0.3
    assert classification.ece(logits, new_y) < 0.12


@pytest.mark.parametrize("kind", FITTED)
def test_out_of_fold_logits_come_from_heads_that_did_not_see_the_row(kind: str) -> None:
    """Labels that are pure noise are predicted no better than chance out of fold."""
    x, _ = _digits()
    y = np.random.default_rng(0).integers(0, 4, len(x))
    logits = fitting.oof(Head(kind=kind), x, y, 4, splits.folds(y, k=5, seed=0))
    assert np.isfinite(logits).all()
    assert classification.accuracy(logits, y) < 0.36


@pytest.mark.parametrize("kind", FITTED)
def test_out_of_fold_scores_foretell_new_ones(kind: str) -> None:
    """Out-of-fold accuracy is within a few points of that on new digits."""
    x, y = _digits(200)
    new_x, new_y = _digits(400, start=250)
    inside = classification.accuracy(fitting.oof(Head(kind=kind), x, y, 4, splits.folds(y, k=5, seed=0)), y)
    outside = classification.accuracy(outputs.predict(fitting.fit(Head(kind=kind), x, y, 4), new_x), new_y)
    assert inside == pytest.approx(outside, abs=0.05)


@pytest.mark.parametrize("kind", FITTED)
def test_the_same_fit_twice_is_the_same_bits(kind: str) -> None:
    """A head is a function of its rows and its seed."""
    x, y = _digits(80)
    a, b = (fitting.fit(Head(kind=kind), x, y, 4, seed=3).state_dict() for _ in range(2))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["ridge", "logistic", "prototypes"])
def test_near_constant_features_do_not_blow_weights_up(kind: str) -> None:
    """A feature that hardly moves gets no larger weight than the others (docs/design.md 6.15): a step in it cannot wreck."""
    x, y = _digits()
    moving = x.std(0) > 1
    rng = np.random.default_rng(0)
    x[:, ~moving] = 0.5 + 1e-5 * rng.normal(size=(len(x), int((~moving).sum()))).astype(np.float32)
    head = fitting.fit(Head(kind=kind), x, y, 4)
    size = head.weight.detach().abs()  # type: ignore[union-attr]
    assert size[:, ~moving].max() <= 2 * size[:, moving].max()
    before = outputs.predict(head, x)
    x[:, ~moving] += 0.1  # what the first steps of fine-tuning do to such a feature
    after = outputs.predict(head, x)
    assert np.mean(before.argmax(1) == after.argmax(1)) > 0.8


def test_standardisation_is_inside_a_linear_head() -> None:
    """Features of another scale and offset give the same logits: raw features go in."""
    x, y = _digits()
    plain = outputs.predict(fitting.fit(Head(kind="ridge"), x, y, 4), x)
    moved = 40 * x + 7
    assert outputs.predict(fitting.fit(Head(kind="ridge"), moved, y, 4), moved) == pytest.approx(plain, abs=1e-2)


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
def test_class_weights_lift_rare_classes(kind: str) -> None:
    """Where one class is rare and hard to tell, balancing or adjusting raises its recall on balanced new images."""
    rng = np.random.default_rng(1)
    y = np.array([0] * 180 + [1] * 20)
    x = (rng.normal(size=(200, 5)) + 0.9 * np.eye(5)[y]).astype(np.float32)
    new_y = np.repeat([0, 1], 500)
    new_x = (rng.normal(size=(1000, 5)) + 0.9 * np.eye(5)[new_y]).astype(np.float32)

    def recall(class_weights: str) -> float:
        head = fitting.fit(Head(kind=kind), x, y, 2, class_weights=class_weights)
        return float(classification.per_class(outputs.predict(head, new_x), new_y, 2)[0][1])

    assert recall("balanced") > recall("none") + 0.2
    assert recall("logit_adjust") > recall("none") + 0.2


def test_stated_numbers_are_taken() -> None:
    """A strength, c or k that the head states is used, not searched."""
    x, y = _digits(80)
    strong = fitting.fit(Head(kind="ridge", numbers={"strength": 100.0}), x, y, 4)
    weak = fitting.fit(Head(kind="ridge", numbers={"strength": 1e-4}), x, y, 4)
    assert not torch.allclose(strong.weight, weak.weight)  # type: ignore[arg-type]
    small = fitting.fit(Head(kind="logistic", numbers={"c": 1e-6}), x, y, 4)
    assert small.weight.abs().max() < 1e-3  # type: ignore[operator, union-attr]
    knn = fitting.fit(Head(kind="knn", numbers={"k": 3}), x, y, 4)
    assert knn.settings[1] == 3  # type: ignore[index]


def test_the_neighbours_head_keeps_its_bank() -> None:
    """The state of a nearest-neighbour head holds every training image's features and label."""
    x, y = _digits(50)
    state = fitting.fit(Head(kind="knn"), x, y, 4).state_dict()
    assert state["bank"].shape == (50, 64)
    assert state["labels"].tolist() == y.tolist()


def test_one_image_a_class_is_enough() -> None:
    """With a single image of each class every kind still gives a finite head that knows its own images."""
    x, y = _digits(60)
    rows = [int(np.flatnonzero(y == c)[0]) for c in range(4)]
    x, y = x[rows], y[rows]
    for kind in FITTED:
        logits = outputs.predict(fitting.fit(Head(kind=kind), x, y, 4), x)
        assert np.isfinite(logits).all()
        assert classification.accuracy(logits, y) == 1.0


@pytest.mark.parametrize("kind", FITTED)
def test_a_class_without_rows_is_survived(kind: str) -> None:
    """A class that no row has gets finite logits and is not predicted."""
    x, y = _digits(60)
    logits = outputs.predict(fitting.fit(Head(kind=kind), x, y, 6), x)
    assert np.isfinite(logits).all()
    assert logits.argmax(1).max() < 4


def test_initial_heads() -> None:
    """Zeros are zeros; random is small, a function of the seed, and leaves torch's generator alone."""
    assert not linear_head.initial("zeros", 5, 3).weight.any()
    state = torch.get_rng_state()
    a, b, c = (linear_head.initial("random", 5, 3, seed=s).weight for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.abs().max() < 0.1
    assert torch.equal(state, torch.get_rng_state())


def test_faults_are_one_line() -> None:
    """An unknown kind, an unknown start, rows or labels that do not fit are told in one line."""
    x, y = _digits(10)
    with pytest.raises(InputError, match='unknown head "forest"'):
        fitting.fit(Head(kind="forest"), x, y, 4)
    with pytest.raises(InputError, match="one row of features for each label"):
        fitting.fit(Head(kind="ridge"), x, y[:5], 4)
    with pytest.raises(InputError, match=r"labels must lie in 0\.\.1"):
        fitting.fit(Head(kind="ridge"), x, y, 2)
    with pytest.raises(InputError, match='"warm"'):
        linear_head.initial("warm", 3, 2)


def test_many_images_start_a_training_from_a_ridge_head() -> None:
    """From 20,000 images on the head that training starts from is the closed-form one, to the same bits."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 20_000)
    x = (rng.normal(size=(20_000, 6)) + y[:, None]).astype(np.float32)
    states = [fitting.fit(Head(kind=kind), x, y, 3).state_dict() for kind in ("linear", "ridge")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    fewer = [fitting.fit(Head(kind=kind), x[:500], y[:500], 3).state_dict() for kind in ("linear", "logistic")]
    assert all(torch.equal(fewer[0][name], fewer[1][name]) for name in fewer[1])


@pytest.mark.parametrize("kind", registry.KINDS)
def test_the_logit_adjustment_that_folds_score_is_in_the_head_that_ships(kind: str) -> None:
    """Every kind of head differs from its unadjusted form by the log of the class frequencies, and so do held-out logits."""
    x, y = _digits()
    new_x, _ = _digits(300, start=200)
    y = np.where(np.arange(len(y)) % 3 > 0, 0, y)
    fit_one = partial(fitting.fit, Head(kind=kind), x, y, 4)
    adjusted, plain = fit_one(class_weights="logit_adjust"), fit_one()
    shipped = outputs.predict(plain, new_x) - outputs.predict(adjusted, new_x)
    folds = splits.folds(y, k=3, seed=0)
    scored = [fitting.oof(Head(kind=kind), x, y, 4, folds, class_weights=w) for w in ("none", "logit_adjust")]
    expected = np.log((np.bincount(y) + 0.5) / (np.bincount(y) + 0.5).sum())
    assert shipped == pytest.approx(np.broadcast_to(expected, shipped.shape), abs=1e-4)
    assert scored[0] - scored[1] == pytest.approx(np.broadcast_to(expected, scored[0].shape), abs=1e-4)
    again = registry.MODULES[adjusted.saved_as].from_tensors(adjusted.state_dict())
    assert np.array_equal(outputs.predict(again, new_x), outputs.predict(adjusted, new_x))
    assert "offset" not in plain.state_dict()


def test_the_penalty_of_near_copies_is_chosen_by_groups() -> None:
    """Ten copies of each of forty images: with groups the head is better on new images; groups of one change no bit."""
    draws = np.random.default_rng(0)
    centres = draws.standard_normal((4, 48)) * 0.3

    def images(each: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(4), each)
        return (centres[labels] + draws.standard_normal((len(labels), 48))).astype(np.float32), labels

    (originals, labels), (new_x, new_y) = images(10), images(250)
    x = np.repeat(originals, 10, axis=0) + 0.05 * draws.standard_normal((400, 48)).astype(np.float32)
    y, groups = np.repeat(labels, 10), np.repeat(np.arange(40), 10)
    fit_one = partial(fitting.fit, Head(kind="logistic"), x, y, 4)

    def loss(head: torch.nn.Module) -> float:
        return classification.log_loss(outputs.predict(head, new_x), new_y)

    assert loss(fit_one(groups=groups)) < 0.8 * loss(fit_one())
    singles, plain = fit_one(groups=np.arange(400)).state_dict(), fit_one().state_dict()
    assert all(torch.equal(singles[name], plain[name]) for name in plain)
