"""The cache of a frozen prefix: filled where views repeat, and it changes nothing but speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from small_network import changed
from small_plans import FULL, TOP, loop, trained

from advisor.hooks import Augmentation, Head, Phase


def test_the_frozen_prefix_cache_changes_nothing_but_speed() -> None:
    """The same views give the same weights with and without the cache, up to the last bits; it keeps its limit."""
    plan = replace(TOP, views=3, steps=12)
    cached, plain = loop(plan), loop(plan, cache_bytes=0)
    assert cached.cached
    assert not plain.cached
    assert loop(plan, cache_bytes=1000).cached  # in a file
    assert not changed(trained(plan, cache_bytes=1000), trained(plan))
    losses = [[step.loss for step in each.run()] for each in (cached, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    for name, value in cached.classifier.state_dict().items():
        torch.testing.assert_close(value, plain.classifier.state_dict()[name], atol=1e-5, rtol=1e-4, msg=name)


def test_what_cannot_be_cached_is_not() -> None:
    """Ever new views, mixed pixels, and a trained stem are computed anew."""
    assert not loop(TOP).cached
    assert not loop(replace(FULL, views=2)).cached
    assert not loop(replace(TOP, views=2, augmentation=Augmentation(mixup=0.2))).cached
    assert not loop(replace(TOP, views=2, head=Head(layers="all"))).cached
    assert loop(replace(TOP, augmentation=Augmentation(level="none"))).cached
    assert loop(replace(TOP, phases=(Phase(head_rate=1e-2),), views=2)).cached


def test_repeated_views_repeat() -> None:
    """With `views` an image's view of round r is that of round r modulo views; without, rounds differ."""
    plan = replace(FULL, views=2)
    source = loop(plan)._feed._source
    here = np.arange(4)
    first, second, third = (source.views(here, np.full(4, r)) for r in (0, 1, 2))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
