"""Few-shot heads: the batch gives what each episode gives alone, by the formulas of `heads` and of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from advisor.errors import InputError
from advisor.heads import episodic, fitting, outputs, standardise
from advisor.records import Head

WAYS, SHOTS, WIDTH = 4, 3, 30
KINDS = ("prototypes", "cosine_prototypes", "knn", "ridge", "logistic")


def data(episodes: int = 5, shots: int = SHOTS) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw overlapping classes with features of very unequal size."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(episodes, WAYS, 1, WIDTH))
    size = np.exp(draw.normal(size=WIDTH))
    support = (centres + draw.normal(size=(episodes, WAYS, shots, WIDTH))) * size
    queries = (centres + draw.normal(size=(episodes, WAYS, 6, WIDTH))) * size
    return tuple(torch.from_numpy(x.reshape(episodes, -1, WIDTH).astype(np.float32)) for x in (support, queries))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_episodes(kind: str) -> None:
    """What other episodes are computed beside changes nothing."""
    support, queries = data()
    together = fitting.episode_logits(Head(kind=kind), support, queries, WAYS)
    for e in range(len(support)):
        alone = fitting.episode_logits(Head(kind=kind), support[e : e + 1], queries[e : e + 1], WAYS)
        assert torch.allclose(together[e], alone[0], atol=1e-4)


@pytest.mark.parametrize(
    "head",
    [
        Head(kind="prototypes"),
        Head(kind="cosine_prototypes"),
        Head(kind="knn", numbers={"k": 3.0, "temperature": 0.2}),
        Head(kind="ridge", numbers={"strength": 0.05}),
        Head(kind="logistic", numbers={"c": 0.01}),
    ],
    ids=lambda head: head.kind,
)
def test_it_decides_as_the_heads_of_the_main_job(head: Head) -> None:
    """An episode's decisions are those of `heads.fit` on its support, ties of votes apart."""
    support, queries = data()
    labels = np.repeat(np.arange(WAYS), SHOTS)
    logits = fitting.episode_logits(head, support, queries, WAYS).argmax(2).numpy()
    for e in range(len(support)):
        fitted = fitting.fit(head, support[e].numpy(), labels, WAYS)
        assert np.array_equal(outputs.predict(fitted, queries[e].numpy()).argmax(1), logits[e])


def test_ridge_is_ridge() -> None:
    """Ridge outputs equal scikit-learn's on the same standardised features."""
    support, queries = data()
    x, q = episodic.standardised(support, queries)
    logits = fitting.episode_logits(Head(kind="ridge", numbers={"strength": 0.1}), support, queries, WAYS)
    targets = np.eye(WAYS).repeat(SHOTS, 0)
    for e in range(len(x)):
        reference = Ridge(alpha=0.1 * float(x[e].square().sum())).fit(x[e].numpy(), targets)
        assert np.allclose(reference.predict(q[e].numpy()) - 1 / WAYS, logits[e].numpy(), atol=1e-4)


@pytest.mark.parametrize("c", [1e-3, 0.1])
def test_logistic_is_logistic(c: float) -> None:
    """Logits equal scikit-learn's logistic regression, up to the constant that all classes share."""
    support, queries = data()
    x, q = (part.double().numpy() for part in episodic.standardised(support, queries))
    logits = fitting.episode_logits(Head(kind="logistic", numbers={"c": c}), support, queries, WAYS).numpy()
    for e in range(len(x)):
        reference = LogisticRegression(C=c, tol=1e-8, max_iter=2000).fit(x[e], np.arange(WAYS).repeat(SHOTS))
        expected = reference.decision_function(q[e])
        assert np.allclose(
            expected - expected.mean(1, keepdims=True), logits[e] - logits[e].mean(1, keepdims=True), atol=5e-3
        )


def test_standardising_uses_the_support_alone() -> None:
    """The scale of an episode is that of `spectrum.standardiser` on its support; queries change nothing."""
    support, queries = data()
    x, _ = episodic.standardised(support, queries)
    mean, scale = standardise.standardiser(support[0].numpy(), np.ones(WAYS * SHOTS))
    assert np.allclose(x[0].numpy(), ((support[0].double() - mean) * scale).numpy(), atol=1e-4)
    again, _ = episodic.standardised(support, queries * 9)
    assert torch.equal(x, again)


@pytest.mark.parametrize("kind", KINDS)
def test_one_shot_and_constant_features_are_finite(kind: str) -> None:
    """One image a class, or features that never vary, give finite logits."""
    support, queries = data(shots=1)
    support[:, :, 3] = 1.0
    assert torch.isfinite(fitting.episode_logits(Head(kind=kind), support, queries, WAYS)).all()
    flat = torch.ones_like(support)
    assert torch.isfinite(fitting.episode_logits(Head(kind=kind), flat, queries, WAYS)).all()


def test_a_head_without_a_few_shot_form_is_refused() -> None:
    """A trained head cannot be fitted to an episode."""
    with pytest.raises(InputError, match="no few-shot form"):
        fitting.episode_logits(Head(kind="linear"), *data(), WAYS)
