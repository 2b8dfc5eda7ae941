"""Batches, modes, precision and layout: what features, evaluation and predictions share; and the logits of a canvas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_network as small
import torch

from advisor.models import inference
from advisor.records import Compute, ForwardSpec

pytestmark = pytest.mark.usefixtures("one_thread")


def test_batches_are_all_of_one_size() -> None:
    """The last batch is padded with its own last image, and says how many count."""
    data = small.digits()
    got = list(
        inference.batches(
            data.canvas,
            np.arange(20),
            ForwardSpec(small.backbone().preprocess, 12, small.COMPUTE),
            batch=16,
        )
    )
    assert [(len(x), n) for x, n in got] == [(16, 16), (16, 4)]
    assert torch.equal(got[1][0][3], got[1][0][15])
    assert got[0][0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("images", [0, 1, 2, 3, 7, 8, 9, 10, 15, 63, 64, 65, 66, 70, 128, 200])
def test_small_batches_pad_nothing(images: int) -> None:
    """Only five sizes occur, and they hold the images exactly."""
    sizes = inference.small_batches(images)
    assert set(sizes) <= {1, 2, 4, 8, 32}
    assert sum(sizes) == images
    assert sizes == sorted(sizes, reverse=True)
    assert inference.small_batches(1) == [1]


@pytest.mark.parametrize("images", [1, 2, 5, 11, 66])
def test_small_batches_give_the_logits_of_large_ones(images: int) -> None:
    """An image's logits do not depend on the sizes of the batches, rounding apart; the order of images stays."""
    data, classifier = small.digits(80), small.classifier()
    rows = np.arange(images)
    spec = ForwardSpec(small.backbone().preprocess, 12, small.COMPUTE)
    fixed = inference.logits(classifier, data.canvas, rows, spec)
    few = inference.logits(classifier, data.canvas, rows, spec, sizes=inference.small_batches(images))
    assert few.shape == (images, small.CLASSES)
    np.testing.assert_allclose(few, fixed, atol=1e-5)


@pytest.mark.parametrize(("images", "sizes"), [(0, []), (1, [1]), (32, [32]), (33, [17, 16]), (70, [24, 23, 23])])
def test_equal_batches_differ_by_one_image_at_most(images: int, sizes: list[int]) -> None:
    """As few batches as possible hold the images exactly."""
    assert inference.equal_batches(images, 32) == sizes


def test_what_is_computed_is_what_the_batches_hold() -> None:
    """Seventy images are two full batches of 64: a speed that was read off them counts 128."""
    data = small.digits()
    rows = np.arange(70) % len(data.canvas)
    got = inference.batches(data.canvas, rows, ForwardSpec(small.backbone().preprocess, 12, small.COMPUTE))
    assert sum(len(images) for images, _ in got) == inference.padded_count(70, batch=64) == 128
    assert inference.padded_count(64, batch=64) == 64


def test_a_mirrored_batch_is_the_batch_mirrored() -> None:
    """With `flip` every image is turned left to right, in the layout asked for."""
    data = small.digits()

    def first(flip: bool) -> torch.Tensor:
        pre = small.backbone().preprocess
        rows = np.arange(4)
        return next(inference.batches(data.canvas, rows, ForwardSpec(pre, 12, small.COMPUTE), batch=4, flip=flip))[0]

    assert torch.equal(first(True), first(False).flip(-1))
    assert first(True).is_contiguous(memory_format=torch.channels_last)


def test_modes_come_back_part_by_part() -> None:
    """Each part gets its own training mode back, also when the block fails."""
    body = small.classifier().body.train()
    body.layer_11.eval()  # type: ignore[union-attr]
    before = [m.training for m in body.modules()]
    with inference.eval_mode(body):
        assert not any(m.training for m in body.modules())
    assert [m.training for m in body.modules()] == before
    with pytest.raises(RuntimeError), inference.eval_mode(body):
        body(torch.zeros(1, 7, 12, 12))
    assert [m.training for m in body.modules()] == before


def test_placing_brings_filters_into_the_layout() -> None:
    """Filters take the memory layout that `compute` names; values stay the same."""
    body = small.classifier().body
    before = {n: v.clone() for n, v in body.state_dict().items()}
    inference.move(body, replace(small.COMPUTE, layout="channels_last"))
    filters = body.get_submodule("layer_11.0").weight
    assert filters.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator, union-attr]
    assert all(torch.equal(before[n], v) for n, v in body.state_dict().items())


def test_autocast_follows_the_precision() -> None:
    """bfloat16 asks for autocast, float32 does not."""
    x = torch.ones(2, 2)
    with inference.autocast(small.COMPUTE):
        assert (x @ x).dtype == torch.float32
    with inference.autocast(replace(small.COMPUTE, precision="bfloat16")):
        assert (x @ x).dtype == torch.bfloat16


class Counting(torch.nn.Sequential):
    """Counts how often its tensors are moved."""

    moves = 0

    def _apply(self, *arguments: object, **options: object) -> Counting:
        self.moves += 1
        return super()._apply(*arguments, **options)  # type: ignore[arg-type,return-value]


def test_a_network_in_place_is_not_moved_again() -> None:
    """One image must not pay for 300 tensors that are where they belong; another layout does move them."""
    network = Counting(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    last = Compute()
    inference.move(network, last)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    moved = network.moves
    assert moved > 0
    inference.move(network, last)
    assert network.moves == moved
    inference.move(network, replace(last, layout="contiguous"))
    assert network.moves > moved
    assert network[0].weight.is_contiguous()


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
