"""The end of a training, predicted from its configuration, its probe, its curve and what was seen on the same data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import predictor
import pytest
from predictor import Predictor, Sighting
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel

from advisor.records import Candidate

VARIANCES = {"data": 0.04, "network": 0.0, "strategy": 0.0, "near": 0.0, "noise": 0.01}
HEADS = {"head data": 0.02, "head network": 0.01, "head noise": 0.01}
CURVE = {"0.25": [0.1, 0.5, 0.2], "0.5": [0.0, 0.8, 0.1], "1": [0.0, 1.0, 0.01]}
PREDICTOR = Predictor(weights={"one": -0.2, "length": -0.1}, variances={**VARIANCES, **HEADS}, curve=CURVE)


def sighting(strategy: str = "full", backbone: str = "pocket", **changes: Any) -> Sighting:
    """Describe a training of 100 steps beside a probe of log-loss 1."""
    parameters = {"optimizer": "adamw", "adam_rate": 5e-4, **changes.pop("parameters", {})}
    candidate = Candidate(backbone=backbone, strategy=strategy, parameters=parameters, size_px=64)
    facts = {"regime": "full", "steps": 100, "images": 300, "classes": 3, "floor": 1.0, **changes}
    return Sighting(candidate=candidate, **facts)


def test_the_prior_is_the_linear_model() -> None:
    """Before anything was seen, the mean is the weighted sum of the features, relative to the probe's log-loss."""
    mean, deviation = PREDICTOR.posterior([sighting(), sighting(steps=200, floor=0.5)], [])
    assert mean == pytest.approx([-0.2, -0.2 - 0.1 * math.log(2) + math.log(0.5)])
    assert deviation == pytest.approx([math.sqrt(0.05)] * 2)


def test_what_was_seen_corrects_the_prediction_as_a_gaussian_process_does() -> None:
    """With one shared variance, mean and deviation equal scikit-learn's Gaussian process with a constant kernel."""
    seen = [sighting(final=0.9), sighting(final=0.7), sighting(final=0.8)]
    mean, deviation = PREDICTOR.posterior([sighting()], seen)
    reference = GaussianProcessRegressor(ConstantKernel(0.04, "fixed"), alpha=0.01, optimizer=None)
    reference.fit(np.zeros((3, 1)), np.log([0.9, 0.7, 0.8]) + 0.2)
    expected, spread = reference.predict(np.zeros((1, 1)), return_std=True)
    assert mean == pytest.approx(expected - 0.2)
    assert deviation**2 == pytest.approx(spread**2 + 0.01)


def test_a_training_on_the_same_network_says_more_than_one_on_another() -> None:
    """Where networks vary, what was seen on the same network moves the prediction further."""
    predictor = replace(PREDICTOR, variances={**VARIANCES, **HEADS, "network": 0.05})
    near, _ = predictor.posterior([sighting()], [sighting(final=0.4)])
    far, _ = predictor.posterior([sighting()], [sighting(backbone="mobilenet_v2", final=0.4)])
    assert near[0] < far[0] < -0.2


def test_a_curve_is_a_second_reading_weighed_by_precision() -> None:
    """Prior and curve are combined as two independent normal readings of the same number."""
    mean, deviation = PREDICTOR.posterior([sighting(share=0.5, loss=0.5)], [])
    read, weights = 0.8 * math.log(0.5), np.array([1 / 0.05, 1 / 0.01])
    assert mean[0] == pytest.approx(np.average([-0.2, read], weights=weights))
    assert deviation[0] == pytest.approx(weights.sum() ** -0.5)


def test_between_two_shares_the_curve_is_interpolated() -> None:
    """At 3/8 of the steps the coefficients lie halfway between those at 1/4 and 1/2; outside, the nearest ones count."""
    assert PREDICTOR.reading(0.375) == pytest.approx((0.05, 0.65, 0.15))
    assert PREDICTOR.reading(0.1) == pytest.approx((0.1, 0.5, 0.2))


def test_heads_and_trainings_are_apart() -> None:
    """How well a head did says nothing of a training."""
    head = sighting("logistic", steps=0, regime="feature_extraction", final=0.3)
    with_head, _ = PREDICTOR.posterior([sighting()], [head])
    without, _ = PREDICTOR.posterior([sighting()], [])
    assert with_head == pytest.approx(without)


def test_a_training_that_diverged_counts_as_bad_and_no_worse() -> None:
    """An infinite log-loss is held at the worst level that says something."""
    assert predictor.level(math.inf, 1.0) == predictor.HIGHEST
    mean, deviation = PREDICTOR.posterior([sighting()], [sighting(final=math.inf)])
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()
