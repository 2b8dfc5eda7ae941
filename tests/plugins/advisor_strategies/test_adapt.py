"""Adaptation: each formula beside a reference, the reversal as a gradient, and two domains that are kept apart."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_network import COMPUTE, changed, classifier, context, digits, weights
from torch.nn import functional

from advisor.errors import TrialError
from advisor.training import loop as training
from advisor_strategies import adapt

STRATEGIES = {s.name: s for s in adapt.STRATEGIES}


def loop(name: str, *, seed: int = 0, **parameters: float) -> training.Loop:
    strategy = STRATEGIES[name]
    p = {**strategy.first_guesses(context())[0], "epochs": 2.0, "batch": 16, "augmentation": "none", **parameters}
    return training.Loop(
        classifier(), strategy.plan(p, context()), digits(target=True), size_px=12, seed=seed, compute=COMPUTE
    )


@given(st.integers(1, 1000), st.floats(0.1, 50))
def test_the_ramp_rises_from_nothing_to_one(steps: int, gamma: float) -> None:
    """The strength is 0 at the first step, rises, and stays below 1: tanh(gamma p / 2)."""
    values = [adapt.ramp(step, steps, gamma=gamma) for step in range(0, steps + 1, max(1, steps // 7))]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert values[-1] <= 1.0
    assert adapt.ramp(1, steps, gamma=gamma) == pytest.approx(np.tanh(gamma / steps / 2))


def test_the_reversal_is_a_change_of_sign() -> None:
    """Forward nothing happens; backward the gradient is that of the same network times -strength, for features alone."""
    x = torch.randn(5, 3, requires_grad=True)
    layer = torch.nn.Linear(3, 1)
    plain = torch.autograd.grad(layer(x).square().sum(), [x, layer.weight])
    passed = adapt.reverse_gradient(x, 0.3)
    assert torch.equal(passed, x)
    turned = torch.autograd.grad(layer(passed).square().sum(), [x, layer.weight])
    assert torch.allclose(turned[0], -0.3 * plain[0])
    assert torch.allclose(turned[1], plain[1])
    assert not adapt.reverse_gradient(x.detach(), 0.3).requires_grad


def test_the_domain_loss_weighs_domains_equally() -> None:
    """It is torch's binary cross-entropy, averaged inside each domain first: sizes do not matter."""
    source, target = torch.randn(7), torch.randn(3)
    expected = 0.5 * (
        functional.binary_cross_entropy_with_logits(source, torch.ones(7))
        + functional.binary_cross_entropy_with_logits(target, torch.zeros(3))
    )
    assert torch.allclose(adapt.domain_loss(source, target), expected)
    assert torch.allclose(adapt.domain_loss(source, target), adapt.domain_loss(source, target.repeat(4)))


def naive_confusion(logits: np.ndarray, temperature: float) -> float:
    """Write equations 2 to 5 of Jin et al. 2020 with loops over images and classes."""
    n, k = logits.shape
    z = np.exp(logits / temperature)
    p = z / z.sum(1, keepdims=True)
    w = np.array([1 + np.exp(sum(x * np.log(x) for x in row)) for row in p])
    w = n * w / w.sum()
    c = np.array([[sum(w[i] * p[i, a] * p[i, b] for i in range(n)) for b in range(k)] for a in range(k)])
    c = c / c.sum(1, keepdims=True)
    return float(sum(c[a, b] for a in range(k) for b in range(k) if a != b) / k)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_confusion_is_the_papers(temperature: float) -> None:
    """The tensor form equals loops over the paper's equations."""
    logits = np.random.default_rng(0).normal(size=(9, 4)) * 3
    confusion = adapt.minimum_class_confusion(torch.from_numpy(logits), temperature=temperature)
    assert float(confusion) == pytest.approx(naive_confusion(logits, temperature), rel=1e-5)


@given(st.integers(0, 1000), st.integers(2, 8))
def test_confusion_lies_between_certain_and_clueless(seed: int, classes: int) -> None:
    """Certain and varied predictions confuse nothing; equal ones confuse all; the rest lies between, with a gradient."""
    draw = torch.Generator().manual_seed(seed)
    certain = 200.0 * torch.eye(classes)
    assert float(adapt.minimum_class_confusion(certain, temperature=1.0)) < 1e-4
    clueless = torch.zeros(6, classes)
    assert float(adapt.minimum_class_confusion(clueless, temperature=1.0)) == pytest.approx(1 - 1 / classes, abs=1e-5)
    between = torch.randn(12, classes, generator=draw, requires_grad=True)
    loss = adapt.minimum_class_confusion(between, temperature=2.5)
    assert 0 < loss.item() < 1
    assert torch.isfinite(torch.autograd.grad(loss, between)[0]).all()


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_needs_a_target(name: str) -> None:
    """Without a target the strategy says so, and a plan that is run all the same is refused in words."""
    reason = STRATEGIES[name].applies(context(has_target=False))
    assert reason is not None
    assert "--target" in reason
    assert STRATEGIES[name].applies(context()) is None
    plan = STRATEGIES[name].plan(STRATEGIES[name].first_guesses(context())[0], context())
    with pytest.raises(TrialError, match="--target DIR"):
        training.Loop(classifier(), plan, digits(), size_px=12, seed=0, compute=COMPUTE)


@pytest.mark.parametrize("name", STRATEGIES)
def test_stopped_and_resumed_equals_not_stopped(name: str) -> None:
    """A run that is written down in the middle ends in the same bits, the domain classifier included."""
    whole = loop(name)
    losses = [step.loss for step in whole.run()]
    first = loop(name)
    early = [step.loss for step in first.run(3)]
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = loop(name)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert early + [step.loss for step in second.run()] == losses
    assert not changed(weights(whole.finish()), weights(second.finish()))


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_target_takes_part_without_labels(name: str) -> None:
    """With the term at weight 0, the trained weights are others: the target images had a say."""
    plain = loop(name)
    list(plain.run())
    without = loop(name, weight=0.0)
    list(without.run())
    differ = changed(weights(plain.classifier), weights(without.classifier))
    assert any("weight" in entry for entry in differ)


def test_the_adversary_learns_while_features_resist() -> None:
    """The domain classifier is trained with the head's rate, is no part of the model, and starts from the seed alone."""
    one, two = loop("dann"), loop("dann", seed=1)
    start = {k: v.clone() for k, v in one._companions.state_dict().items()}
    assert not torch.equal(start["0.0.weight"], two._companions.state_dict()["0.0.weight"])
    list(one.run())
    assert all(not torch.equal(v, start[k]) for k, v in one._companions.state_dict().items())
    assert not any("term" in name or "companion" in name for name in one.finish().state_dict())


def test_a_domain_classifier_alone_learns_to_tell_domains() -> None:
    """With nothing reversed, the term is an ordinary loss that a few steps bring down."""
    torch.manual_seed(0)
    network = adapt.domain_classifier(6, 3)
    source, target = torch.randn(64, 6) + 1, torch.randn(64, 6) - 1
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = adapt.domain_loss(network(source).squeeze(1), network(target).squeeze(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_domains_share_no_batch_statistics() -> None:
    """Source features of a step are those of the source batch alone, whatever the target looks like."""
    one = loop("mcc")
    one._enter_phase()
    with torch.no_grad():
        one.classifier.body.train()
        torch.manual_seed(0)
        alone = one._feed.batch_at(0).features.clone()
        one._feed.target_at(0)
        torch.manual_seed(0)
        again = one._feed.batch_at(0).features
    assert torch.equal(alone, again)
