"""advisor.training.batch_features: features, labels and targets of any step, from the network or from memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_network import CLASSES, COMPUTE, DIM, backbone, classifier, digits

from advisor.errors import TrialError
from advisor.hooks import Augmentation, Batches, Phase, TrainPlan
from advisor.models.classifier import Classifier
from advisor.training.batch_features import BatchFeatures, TrainData

PLAN = TrainPlan(
    phases=(Phase(rates={"top": 1e-3}, head_rate=1e-3),), steps=8, batch=16, augmentation=Augmentation(level="flip")
)


def feed(
    plan: TrainPlan, data: TrainData | None = None, network: Classifier | None = None, cache: int = 1 << 20
) -> BatchFeatures:
    network = (network or classifier()).eval()
    here = backbone()
    return BatchFeatures(
        network,
        plan,
        data or digits(),
        size_px=12,
        seed=0,
        compute=COMPUTE,
        preprocess=here.preprocess,
        cache_bytes=cache,
    )


def test_a_step_is_fed_with_its_own_labels() -> None:
    """Features (B, D) come with the labels of the same images, and one epoch holds every label once."""
    one = feed(PLAN)
    fed = [one.batch_at(step) for step in range(15)]  # 15 x 16 images are four epochs of 60
    assert all(f.features.shape == (16, DIM) and torch.equal(f.labels, f.targets) for f in fed)
    seen = torch.bincount(torch.cat([f.labels for f in fed]), minlength=CLASSES)
    np.testing.assert_array_equal(seen, 4 * one.counts(CLASSES))


def test_memory_and_network_give_the_same_features() -> None:
    """A step's features do not depend on whether the prefix was kept, up to the last bits."""
    plan = replace(PLAN, views=2)
    cached, anew = feed(plan), feed(plan, cache=0)
    assert cached.cached
    assert not anew.cached
    for step in (0, 3, 7):
        torch.testing.assert_close(cached.batch_at(step).features, anew.batch_at(step).features, atol=1e-5, rtol=1e-4)


def test_filling_the_memory_leaves_modes_as_they_were() -> None:
    """Computing a view in the middle of a step does not switch what trains and what evaluates."""
    network = classifier()
    one = feed(replace(PLAN, views=2), network=network)
    network.body.layer_12.train()
    modes = [m.training for m in network.modules()]
    one.batch_at(0)
    assert [m.training for m in network.modules()] == modes


def test_mixed_images_come_with_probabilities() -> None:
    """With mixup the targets are probabilities over the classes, and the labels stay labels."""
    fed = feed(replace(PLAN, augmentation=Augmentation(level="flip", mixup=0.4))).batch_at(0)
    assert fed.targets.shape == (16, CLASSES)
    torch.testing.assert_close(fed.targets.sum(1), torch.ones(16))
    assert fed.labels.shape == (16,)


def test_the_target_domain_is_fed_beside_the_labelled_images() -> None:
    """A plan with a target stream gets features of unlabelled images; without one there are none."""
    plan = replace(PLAN, streams=(Batches(), Batches(name="target")))
    with pytest.raises(TrialError, match="target domain"):
        feed(plan)
    data = digits()
    both = replace(data, target_canvas=data.canvas[:20], target_ids=data.ids[:20])
    batch = feed(plan, both).target_at(0)
    assert batch is not None
    assert batch.features.shape == (16, DIM)
    assert batch.teacher is None
    assert feed(PLAN).target_at(0) is None
