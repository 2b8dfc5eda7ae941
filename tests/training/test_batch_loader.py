"""advisor.training.batch_loader: rows of a canvas as a plan wants them seen."""

from __future__ import annotations

import numpy as np
import torch
from small_network import COMPUTE, backbone, digits

from advisor.hooks import Augmentation, TrainPlan
from advisor.models import normalise
from advisor.training.batch_loader import BatchLoader


def source(plan: TrainPlan, rows: list[int], seed: int = 0) -> BatchLoader:
    data = digits()
    taken = np.array(rows)
    preprocess = backbone().preprocess
    return BatchLoader(
        data.canvas, data.ids, taken, plan, size_px=12, seed=seed, compute=COMPUTE, preprocess=preprocess
    )


def test_positions_count_within_the_rows() -> None:
    """Position p is the image of row p, whatever else the canvas holds, and a read-only canvas is enough."""
    plan = TrainPlan(augmentation=Augmentation(level="none"))
    data = digits()
    data.canvas.setflags(write=False)
    ours = source(plan, [7, 3, 20]).views(np.array([2, 0]), np.array([0, 0]))
    expected = normalise.normalise(torch.from_numpy(data.canvas[[20, 7], 2:14, 2:14]), backbone().preprocess)
    torch.testing.assert_close(ours, expected)


def test_a_view_does_not_depend_on_which_rows_take_part() -> None:
    """An image looks the same in every fold that trains on it."""
    plan = TrainPlan(augmentation=Augmentation(level="trivial"))
    one = source(plan, [7, 3, 20]).views(np.array([1]), np.array([4]))
    other = source(plan, [0, 1, 2, 3]).views(np.array([3]), np.array([4]))
    assert torch.equal(one, other)
    assert not torch.equal(one, source(plan, [3], seed=1).views(np.array([0]), np.array([4])))


def test_counters_repeat_with_views() -> None:
    """With `views` the rounds are counted modulo them, otherwise as they are."""
    rounds = np.arange(7)
    np.testing.assert_array_equal(source(TrainPlan(views=3), [0]).counters(rounds), rounds % 3)
    np.testing.assert_array_equal(source(TrainPlan(), [0]).counters(rounds), rounds)


def test_reading_ahead_changes_nothing() -> None:
    """Images that were read one step ahead are those that were asked for, also where something else was expected."""
    plan = TrainPlan(augmentation=Augmentation(level="light"))
    data = digits()
    one, other = (
        BatchLoader(
            data.canvas,
            data.ids,
            np.arange(60),
            plan,
            size_px=12,
            seed=0,
            compute=COMPUTE,
            preprocess=backbone().preprocess,
            ahead=ahead,
        )
        for ahead in (True, False)
    )
    for expected, asked in (([3, 4], [3, 4]), ([5, 6], [7]), ([8], [8])):
        one.expect(np.array(expected))
        positions, rounds = np.array(asked), np.zeros(len(asked), dtype=np.int64)
        assert torch.equal(one.views(positions, rounds), other.views(positions, rounds))
