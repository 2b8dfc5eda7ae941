"""advisor.training.activation_cache: what is frozen in all phases, when it is worth keeping, and what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small_network import backbone

from advisor import schedules
from advisor.hooks import Augmentation, Head, Phase, TrainPlan
from advisor.training import activation_cache

BACKBONE = backbone()


def plan(*names: str, **more: object) -> TrainPlan:
    return TrainPlan(phases=(Phase(rates=dict.fromkeys(names, 1e-3), head_rate=1e-3),), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("names", "depth"), [((), 3), (("top",), 2), (("middle",), 1), (("stem", "top"), 0)])
def test_depth_counts_the_stages_before_the_first_that_trains(names: tuple[str, ...], depth: int) -> None:
    """Only leading stages that never train belong to the prefix."""
    assert activation_cache.depth(plan(*names), BACKBONE) == depth


def test_depth_looks_at_all_phases() -> None:
    """A stage that is freed in the last phase was never part of the prefix."""
    phases = schedules.gradual({"middle": 1e-3, "top": 1e-3}, 1e-3, first=5, every=5)
    assert activation_cache.depth(TrainPlan(phases=phases), BACKBONE) == 1


def test_reusable_needs_few_unmixed_views_and_a_late_head() -> None:
    """Activations come again only with few views, pixels that are not mixed, and a head that looks behind them."""
    assert activation_cache.reusable(plan("top", views=4), BACKBONE)
    assert activation_cache.reusable(plan("top", augmentation=Augmentation(level="none")), BACKBONE)
    assert activation_cache.reusable(plan("top", views=4, head=Head(layers="top")), BACKBONE)
    assert activation_cache.reusable(plan(views=4, head=Head(layers="all")), BACKBONE)
    assert not activation_cache.reusable(plan("top"), BACKBONE)
    assert not activation_cache.reusable(plan("stem", views=4), BACKBONE)
    assert not activation_cache.reusable(plan("top", views=4, augmentation=Augmentation(cutmix=1.0)), BACKBONE)
    assert not activation_cache.reusable(plan("top", views=4, head=Head(layers="all")), BACKBONE)
    assert not activation_cache.reusable(plan("top", views=4, head=Head(layers="stem")), BACKBONE)


class Counting:
    """Activations that say whose they are, and how often they were computed."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, positions: npt.NDArray[np.int64], rounds: npt.NDArray[np.int64]) -> torch.Tensor:
        self.images += len(positions)
        whose = torch.from_numpy(positions * 1000 + rounds).float()
        return whose.view(-1, 1, 1, 1) + torch.arange(3.0).view(1, 3, 1, 1) / 10 + torch.zeros(1, 1, 2, 2)


def test_rows_are_those_of_image_and_view() -> None:
    """A row belongs to its image and to its round modulo the views, also where two rounds meet in a batch."""
    bank = activation_cache.ActivationCache(100, 2, Counting(), chunk=64)
    positions, rounds = np.array([7, 99, 0, 5]), np.array([1, 1, 2, 2])
    rows = bank.rows(positions, rounds)
    assert rows.shape == (4, 3, 2, 2)
    np.testing.assert_allclose(rows[:, 0, 0, 0], [7001, 99001, 0, 5000])
    np.testing.assert_allclose(rows[0, :, 0, 0], [7001, 7001.1, 7001.2], rtol=1e-6)
    assert rows.is_contiguous(memory_format=torch.channels_last)


def test_a_view_is_computed_once_and_only_when_asked_for() -> None:
    """Views are filled as rounds come, each image once for each view."""
    counting = Counting()
    bank = activation_cache.ActivationCache(70, 3, counting, chunk=64)
    for r in (0, 3, 0):
        bank.rows(np.arange(10), np.full(10, r))
    assert counting.images == 70
    bank.rows(np.arange(10), np.full(10, 2))
    assert counting.images == 140


def test_the_limits_count_all_views(tmp_path: Path) -> None:
    """A bank is kept where images x views x bytes of an activation stay within the limits."""
    bank = activation_cache.ActivationCache(100, 2, Counting(), chunk=64)
    bytes_of_all = 100 * 2 * 3 * 2 * 2 * 4
    assert bank.open(bytes_of_all, spill_bytes=0)
    assert bank.open(0, spill_bytes=bytes_of_all, folder=tmp_path)
    assert not bank.open(bytes_of_all - 1, spill_bytes=bytes_of_all - 1, folder=tmp_path)
    assert not activation_cache.ActivationCache(10, 1, lambda p, r: (torch.zeros(1), torch.zeros(1)), chunk=64).open()  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("flat", [False, True])
def test_a_file_gives_the_bits_of_memory(tmp_path: Path, dtype: torch.dtype, flat: bool) -> None:
    """Rows from a spilled bank equal those from memory to the bit, in the same layout, and the file has no name."""

    def compute(positions: npt.NDArray[np.int64], rounds: npt.NDArray[np.int64]) -> torch.Tensor:
        computed = Counting()(positions, rounds).to(dtype) * 1.1
        return computed.flatten(1) if flat else computed

    inside, outside = (
        activation_cache.ActivationCache(130, 3, compute, chunk=64),
        activation_cache.ActivationCache(130, 3, compute, chunk=64),
    )
    assert inside.open()
    assert outside.open(0, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    for positions, rounds in (([7, 129, 64], [1, 1, 1]), ([3, 0, 128, 5], [4, 4, 5, 5])):
        one, other = (b.rows(np.array(positions), np.array(rounds)) for b in (inside, outside))
        assert torch.equal(one, other)
        assert one.stride() == other.stride()
        assert one.dtype == other.dtype == dtype


FULL = """
import resource, signal, sys
import numpy as np, torch
from pathlib import Path
from advisor.training import activation_cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
bank = activation_cache.ActivationCache(100, 2, lambda p, r: torch.from_numpy(p * 1000 + r).float().view(-1, 1), chunk=64)
print(bank.open(0, folder=Path(sys.argv[1])), list(Path(sys.argv[1]).iterdir()))
"""


def test_a_full_disk_is_done_without(tmp_path: Path) -> None:
    """Where the space cannot be reserved nothing is kept, and the caller hears so at once."""
    child = [sys.executable, "-c", FULL, str(tmp_path)]
    run = subprocess.run(child, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "False []"
    assert "computed anew" in run.stderr


def test_a_disk_that_fills_up_later_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A write that fails in the middle costs the memory, not the run: rows are computed as without a bank."""
    bank = activation_cache.ActivationCache(100, 2, Counting(), chunk=64)
    assert bank.open(0, folder=tmp_path)
    assert bank._spill is not None
    bank._spill._file.close()  # every write fails from now on
    bank._spill._file = open(os.devnull, "rb")  # noqa: SIM115
    rows = bank.rows(np.array([7, 99]), np.array([1, 1]))
    np.testing.assert_allclose(rows[:, 0, 0, 0], [7001, 99001])
    assert "computed anew" in caplog.text


def test_tokens_that_come_before_images_are_not_kept() -> None:
    """Attention's default order is (T, B, D): a row of it is no image's."""
    compute = lambda positions, rounds: torch.zeros(5, len(positions), 8)  # noqa: E731
    assert not activation_cache.ActivationCache(10, 1, compute, chunk=4).open()
