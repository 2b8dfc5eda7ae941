"""The episodic strategy: its loss against a loop, its plan, and what a training on episodes moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_network import COMPUTE, changed, classifier, context, digits, weights

from advisor import testing
from advisor.errors import TrialError
from advisor.hooks import TermInputs
from advisor.training import loop as training
from advisor_strategies import episodic

HERE = context()
PLAN = episodic.EPISODIC.plan({"epochs": 3.0, "ways": 3, "shots": 2, "queries": 4}, HERE)


def episode(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, labels and support of three classes, of unequal support, in no order."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.tensor([7, 2, 2, 7, 4, 4, 7, 2, 4, 7])
    support = torch.tensor([1, 1, 0, 1, 1, 0, 0, 1, 0, 1], dtype=torch.bool)
    return torch.randn(10, 6, generator=draw, requires_grad=True), labels, support


@pytest.mark.parametrize("cosine", [False, True])
def test_the_loss_is_its_definition(cosine: bool) -> None:
    """Each query's softmax over nearness to the class means, written out as a loop."""
    features, labels, support = episode()
    centre = features[support].mean(0) if cosine else torch.zeros(6)
    means = {c: features[support & (labels == c)].mean(0) for c in (2, 4, 7)}
    losses = []
    for x, label in zip(features[~support], labels[~support].tolist(), strict=True):
        near = {
            c: torch.cosine_similarity(x - centre, m - centre, dim=0) if cosine else -((x - m) ** 2).sum()
            for c, m in means.items()
        }
        total = torch.stack([3.0 * v for v in near.values()]).logsumexp(0)
        losses.append(total - 3.0 * near[label])
    loss = episodic.prototype_loss(features, labels, support, scale=3.0, cosine=cosine)
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_the_order_of_images_does_not_count() -> None:
    """Prototypes follow labels, not places: a shuffled episode has the same loss and the same gradients."""
    features, labels, support = episode()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(3))
    straight = episodic.prototype_loss(features, labels, support, scale=1.0, cosine=True)
    (slope,) = torch.autograd.grad(straight, features)
    mixed = episodic.prototype_loss(features[order], labels[order], support[order], scale=1.0, cosine=True)
    (again,) = torch.autograd.grad(mixed, features)
    assert torch.allclose(straight, mixed)
    assert torch.allclose(slope, again, atol=1e-6)


def test_the_term_shows_it_the_moment() -> None:
    """The term is the idea on the step's features, labels and support."""
    features, labels, support = episode()
    inputs = TermInputs(step=0, steps=1, features=features, logits=features, labels=labels, support=support)
    loss = episodic.episode_loss(inputs, scale=2.0, cosine=1.0)
    assert torch.equal(loss, episodic.prototype_loss(features, labels, support, scale=2.0, cosine=True))


def test_the_kit_trains_it() -> None:
    """The conformance kit finds nothing wrong, and trains the tiny network on episodes."""
    checks = {c.name: c for c in testing.check_strategy(episodic.EPISODIC)}
    assert all(c.passed for c in checks.values()), [c for c in checks.values() if not c.passed]
    assert "moved head, last" in checks["what is not named stands still, what is named trains"].detail


def test_episodes_fit_the_classes() -> None:
    """Episodes are as large as asked, or as the smallest class with two images allows; fewer classes make fewer ways."""
    stream = PLAN.streams[0]
    assert (stream.ways, stream.shots, stream.queries, PLAN.batch) == (3, 2, 4, 18)
    assert PLAN.steps == round(3 * HERE.images / 18)
    small = replace(HERE, class_counts=(3, 1, 40, 40))
    stream = episodic.EPISODIC.plan({}, small).streams[0]
    assert (stream.ways, stream.shots, stream.queries) == (3, 2, 1)
    assert episodic.EPISODIC.applies(replace(HERE, class_counts=(1, 1, 40, 1))) is not None


def loop(seed: int = 0, **changes: object) -> training.Loop:
    """Begin the plan on handwritten digits."""
    network = classifier(seed)
    return training.Loop(network, replace(PLAN, **changes), digits(), size_px=12, seed=seed, compute=COMPUTE)  # type: ignore[arg-type]


def test_features_learn_from_episodes_alone() -> None:
    """Without its term a training on episodes moves the head only; with it, the last stage moves as well, and it helps."""
    begun = loop(terms=())
    before = weights(begun.classifier)
    list(begun.run(3))
    assert {n.split(".")[0] for n in changed(before, weights(begun.classifier))} == {"head"}
    begun = loop(steps=60)
    before = weights(begun.classifier)
    losses = [step.loss for step in begun.run()]
    moved = changed(before, weights(begun.classifier))
    assert {n.split(".")[1] for n in moved if n.startswith("body.")} == {"layer_12"}
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_a_resumed_training_equals_one_that_was_not_stopped() -> None:
    """Episodes are a function of seed and step: stopped and resumed, the weights are the same bits."""
    whole = loop()
    list(whole.run())
    first = loop()
    list(first.run(3))
    second = loop()
    second.load_state_dict(first.state_dict())
    list(second.run())
    assert not changed(weights(whole.classifier), weights(second.classifier))


def test_classes_without_enough_images_are_told() -> None:
    """A plan whose episodes cannot be drawn fails with the reason."""
    with pytest.raises(TrialError, match="4 classes have 6 images, expected 5"):
        loop(streams=(replace(PLAN.streams[0], ways=5),))
