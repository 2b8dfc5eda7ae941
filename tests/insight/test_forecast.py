"""The learning curve: its law is found again, its interval holds the truth, its subsets are nested and stratified."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import optimize, stats

from advisor.insight import forecast
from advisor.metrics import intervals


def test_the_law_is_found_again() -> None:
    """Points on a power law give back its values beyond them; scipy's least squares agrees on noisy points."""
    sizes = np.array([50, 100, 200, 400])
    floor, scale, rate = forecast.fit(sizes, 0.08 + 1.4 * sizes**-0.5)
    assert floor + scale * 1600.0**-rate == pytest.approx(0.08 + 1.4 * 1600**-0.5, abs=0.003)
    noisy = 0.08 + 1.4 * sizes**-0.5 + np.array([0.004, -0.006, 0.003, -0.001])
    law = forecast.fit(sizes, noisy)

    def loss(v: np.ndarray) -> float:
        return float(((v[0] + v[1] * sizes ** -v[2] - noisy) ** 2).sum())

    ours = loss(np.array(law))
    best = optimize.minimize(loss, [0.05, 1.0, 0.5], bounds=[(0, 1), (0, 50), (0.05, 1.5)], method="L-BFGS-B").fun
    assert ours <= best * 1.05 + 1e-7


def test_a_curve_that_rises_has_no_law_below_zero() -> None:
    """Errors that grow or stand still with more images are answered with a constant."""
    floor, scale, _ = forecast.fit(np.array([10, 20, 40]), np.array([0.2, 0.2, 0.21]))
    assert floor >= 0
    assert scale == 0.0


def test_subsets_are_nested_and_stratified_and_apart_from_what_is_scored() -> None:
    """Each larger subset holds the smaller one; no subset holds a scored row; every class is in each."""
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    calls: list[tuple[set[int], set[int]]] = []

    def score(rows: np.ndarray, held: np.ndarray) -> np.ndarray:
        calls.append((set(rows.tolist()), set(held.tolist())))
        assert {0, 1, 2} <= set(labels[rows].tolist())
        return np.ones(len(held))

    curve = forecast.measure(labels, score, repeats=2)
    for smaller, larger in itertools.pairwise(calls):
        assert not smaller[0] & smaller[1]
        assert smaller[0] <= larger[0] or len(larger[0]) < len(smaller[0])
    assert curve.sizes.tolist() == [9, 19, 38, 75]
    assert not curve.errors_SR.any()


def test_groups_are_never_divided() -> None:
    """Rows of one group are all trained on or all scored."""
    labels, groups = np.repeat([0, 1], 60), np.repeat(np.arange(30), 4)

    def score(rows: np.ndarray, held: np.ndarray) -> np.ndarray:
        assert not set(groups[rows]) & set(groups[held])
        assert set(labels[rows]) == {0, 1}
        return np.ones(len(held))

    assert forecast.measure(labels, score, repeats=3, groups_N=groups).held_out >= 30


def test_the_measured_points_have_students_interval() -> None:
    """The mean of the repeats, with scipy's interval of a mean."""
    every = np.array([[0.3, 0.34, 0.28, 0.31], [0.2, 0.22, 0.25, 0.19]])
    for errors in (every, every[:, :3]):  # three repeats, where time is short
        curve = forecast.MeasuredErrors(sizes=np.array([10, 20]), errors_SR=errors, class_errors_SK=np.zeros((2, 2)))
        for at, own in zip(forecast.measured(curve), 1 - errors, strict=True):
            low, high = stats.t.interval(0.95, len(own) - 1, loc=own.mean(), scale=stats.sem(own))
            assert (at.accuracy, at.low, at.high) == pytest.approx((own.mean(), low, high), abs=1e-9)


def test_the_interval_holds_the_truth() -> None:
    """On drawn curves of known laws the error at four times the images lies inside at least nine times in ten."""
    draw, inside, total = np.random.default_rng(5), 0, 60
    sizes = np.array([60, 120, 240, 480])
    for _ in range(total):
        floor, scale, rate = draw.uniform(0, 0.2), draw.uniform(0.5, 2), draw.uniform(0.3, 0.8)
        errors = (floor + scale * sizes**-rate)[:, None] + draw.normal(0, 0.012, (4, 5))
        curve = forecast.MeasuredErrors(sizes=sizes, errors_SR=errors, class_errors_SK=np.zeros((4, 2)))
        expected = forecast.expect(curve, [1920])[0]
        inside += expected.low <= 1 - (floor + scale * 1920**-rate) <= expected.high
    assert inside >= 0.9 * total


def test_classes_that_gain_are_those_whose_error_falls() -> None:
    """Only falls count, largest first."""
    curve = forecast.MeasuredErrors(
        sizes=np.array([1, 2]), errors_SR=np.zeros((2, 1)), class_errors_SK=np.array([[0.5, 0.2, 0.4], [0.1, 0.3, 0.3]])
    )
    assert [k for k, _ in forecast.classes_that_gain(curve)] == [0, 2]
    turned = dataclasses.replace(curve, turned_K2=np.array([[9, 1], [0, 2], [3, 2]]))
    assert [k for k, _ in forecast.classes_that_gain(turned)] == [0]  # three against two is chance


def test_falls_by_chance_hide_no_class_that_gains() -> None:
    """Three classes of two images fall by far; the class of many images that gains is listed all the same."""
    curve = forecast.MeasuredErrors(
        sizes=np.array([1, 2]),
        errors_SR=np.zeros((2, 1)),
        class_errors_SK=np.array([[1.0, 1.0, 1.0, 0.5], [0.5, 0.5, 0.5, 0.3]]),
        turned_K2=np.array([[1, 0], [1, 0], [1, 0], [11, 1]]),
    )
    assert [k for k, _ in forecast.classes_that_gain(curve)] == [3]


def test_subsets_are_nested_and_hold_every_class() -> None:
    """An eighth is part of a quarter; a class of one image is in all; shares of the rest are kept."""
    labels = np.repeat([0, 1, 2], [60, 19, 1])
    eighth, quarter, half = forecast.subsets(labels, (0.125, 0.25, 0.5), seed=1)
    assert set(eighth) < set(quarter) < set(half)
    assert [len(rows) for rows in (eighth, quarter, half)] == pytest.approx([10, 20, 40], abs=1)
    assert 2 in labels[eighth]
    assert (labels[half] == 0).sum() == pytest.approx(30, abs=1)


def test_images_scored_once_give_an_interval_by_their_number() -> None:
    """Wilson's where measured; beyond, a tenth of the images leaves it wider; gains need images that turned."""
    draw, labels = np.random.default_rng(2), np.repeat([0, 1], 200)
    right = (draw.random((4, 400)) < np.array([0.5, 0.6, 0.7, 0.78])[:, None]).astype(float)
    sizes = np.array([40, 80, 160, 320])
    curve = forecast.of_scored_once(sizes, right, labels)
    assert curve.errors_SR[:, 0] == pytest.approx(1 - right.mean(1))
    last = forecast.measured(curve)[-1]
    assert (last.low, last.high) == pytest.approx(intervals.wilson(int(right[-1].sum()), 400))
    assert {k for k, _ in forecast.classes_that_gain(curve)} <= {0, 1}
    wide, narrow = (
        forecast.expect(forecast.of_scored_once(sizes, right, labels, groups_N=np.arange(400) // each), [640])[0]
        for each in (10, 1)
    )
    assert wide.high - wide.low > narrow.high - narrow.low


def test_the_interval_of_images_scored_once_holds_the_truth() -> None:
    """On drawn curves of known laws the accuracy at four times the images lies inside at least nine times in ten."""
    draw, inside, total = np.random.default_rng(6), 0, 60
    sizes, labels = np.array([60, 120, 240, 480]), np.zeros(300, dtype=np.int64)
    for _ in range(total):
        floor, scale, rate = draw.uniform(0, 0.2), draw.uniform(0.5, 2), draw.uniform(0.3, 0.8)
        right = (draw.random((4, 300)) >= (floor + scale * sizes**-rate)[:, None]).astype(float)
        expected = forecast.expect(forecast.of_scored_once(sizes, right, labels), [1920])[0]
        inside += expected.low <= 1 - (floor + scale * 1920**-rate) <= expected.high
    assert inside >= 0.9 * total


def test_a_group_that_turns_is_one_image_that_turns() -> None:
    """Thirty copies of one image are no proof that their class gains; thirty images are."""
    right, labels = np.repeat([[0.0], [0.0], [0.0], [1.0]], 30, axis=1), np.zeros(30, dtype=np.int64)
    sizes = np.array([10, 20, 40, 80])
    assert forecast.classes_that_gain(forecast.of_scored_once(sizes, right, labels))
    copies = forecast.of_scored_once(sizes, right, labels, groups_N=np.zeros(30, dtype=np.int64))
    assert copies.turned_K2 is not None
    assert copies.turned_K2.tolist() == [[1, 0]]
    assert forecast.classes_that_gain(copies) == []


def test_few_images_that_are_all_right_prove_no_perfect_model() -> None:
    """Twelve right images in each of five repeats do not make "100 to 100 %"."""
    labels = np.repeat([0, 1, 2], 16)
    curve = forecast.measure(labels, lambda rows, held: np.ones(len(held)), seed=1)
    low = intervals.wilson(curve.held_out, curve.held_out)[0]
    for point in (*forecast.measured(curve), *forecast.expect(curve, [48, 192])):
        assert (point.accuracy, point.low, point.high) == (1.0, pytest.approx(low), 1.0)
