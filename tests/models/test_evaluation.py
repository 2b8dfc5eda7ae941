"""Logits of a network on a canvas: no gradients, no training mode, no dependence on batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_network as small
import torch

from advisor.models import inference
from advisor.records import ForwardSpec


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _logits(classifier: Any, rows: Any, **changes: Any) -> np.ndarray:
    data = small.digits()
    compute = changes.pop("compute", small.COMPUTE)
    spec = ForwardSpec(small.backbone().preprocess, changes.pop("size_px", 12), compute)
    return inference.logits(classifier, data.canvas, np.asarray(rows, dtype=np.int64), spec, **changes)


def test_evaluation_is_in_eval_mode_and_leaves_no_trace() -> None:
    """Dropout is off, BatchNorm's statistics stand still, gradients are off, and modes come back part by part."""
    classifier = small.classifier().train()
    classifier.body.layer_1.eval()  # type: ignore[union-attr]
    modes = {n: m.training for n, m in classifier.named_modules()}
    before = small.weights(classifier)
    first, second = _logits(classifier, range(40)), _logits(classifier, range(40))
    assert np.array_equal(first, second)
    assert small.changed(before, classifier.state_dict()) == set()
    assert {n: m.training for n, m in classifier.named_modules()} == modes
    assert all(p.grad is None for p in classifier.parameters())


def test_modes_come_back_after_a_failure() -> None:
    """A forward pass that fails leaves the training modes as they were."""
    classifier = small.classifier().train()
    classifier.head = torch.nn.Linear(3, 2)
    with pytest.raises(RuntimeError):
        _logits(classifier, range(4))
    assert all(m.training for m in classifier.modules())


def test_rows_in_any_order_and_number_have_the_same_logits() -> None:
    """A row's logits are the same to the bit in any order, any company, and repeated."""
    classifier = small.classifier()
    every = _logits(classifier, range(60), batch=16)
    rows = [59, 3, 3, 17]
    assert np.array_equal(_logits(classifier, rows, batch=16), every[rows])
    assert every.dtype == np.float32


def test_no_rows_have_no_logits() -> None:
    """Nothing asked is nothing answered."""
    assert len(_logits(small.classifier(), [])) == 0


def test_the_centre_is_what_is_looked_at() -> None:
    """A canvas larger than the input is cut to its centre; one of the right size is taken whole."""
    data = small.digits()
    classifier = small.classifier()
    spec = ForwardSpec(small.backbone().preprocess, 12, small.COMPUTE)
    centre = np.ascontiguousarray(data.canvas[:, 2:14, 2:14])
    assert np.array_equal(
        inference.logits(classifier, centre, data.rows, spec),
        _logits(classifier, data.rows),
    )


def test_layouts_agree_and_half_precision_is_close() -> None:
    """Memory layout changes only last bits; bfloat16 stays within its precision and comes back as float32."""
    classifier = small.classifier()
    plain = _logits(classifier, range(30))
    assert _logits(classifier, range(30), compute=replace(small.COMPUTE, layout="contiguous")) == pytest.approx(
        plain, abs=1e-5
    )
    half = _logits(classifier, range(30), compute=replace(small.COMPUTE, precision="bfloat16"))
    assert half.dtype == np.float32
    assert half == pytest.approx(plain, abs=0.05)
    assert not np.array_equal(half, plain)


def test_progress_reaches_the_end() -> None:
    """Progress counts images, rising, to all of them."""
    seen: list[tuple[int, int]] = []
    _logits(small.classifier(), range(40), batch=16, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(16, 40), (32, 40), (40, 40)]
