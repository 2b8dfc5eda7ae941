"""advisor.training.data_parallel: two processes that share every batch end where one process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from data_parallel_ranks import FULL, PLANS, trained
from small_network import COMPUTE, classifier, digits

from advisor.errors import TrialError
from advisor.hooks import Batches
from advisor.training import loop
from advisor.training.data_parallel import SINGLE_PROCESS, ProcessGroup, SharedBatchNorm

TOLERANCE = 2e-5  # of a weight after six steps, in float32: sums are taken in another order


@pytest.fixture(scope="module", name="ranks")
def _ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train every plan once with two processes over gloo; give the folder of what came out."""
    folder = tmp_path_factory.mktemp("ranks")
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = Path(__file__).parents[1] / "support"
    subprocess.run(
        [*call, str(here / "data_parallel_ranks.py"), str(folder)],
        check=True,
        timeout=300,
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return folder


@pytest.mark.parametrize("name", PLANS)
def test_two_ranks_train_what_one_trains(ranks: Path, name: str) -> None:
    """Slices of 8 and 7 images, averaged by their sizes, give the weights and losses of the whole batch of 15."""
    want, losses = trained(PLANS[name])
    for rank in (0, 1):
        ranked = torch.load(ranks / f"{name}-{rank}.pt", weights_only=True)
        assert ranked["losses"] == pytest.approx(losses, abs=TOLERANCE)
        assert ranked["weights"].keys() == want.keys()
        for key, value in want.items():
            torch.testing.assert_close(ranked["weights"][key], value, rtol=1e-4, atol=TOLERANCE, msg=key)


def test_the_ranks_agree_to_the_bit(ranks: Path) -> None:
    """Every rank holds the same weights at the end, and takes what rank 0 computed."""
    for name in PLANS:
        first, second = (torch.load(ranks / f"{name}-{rank}.pt", weights_only=True)["weights"] for rank in (0, 1))
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert {torch.load(ranks / f"agreed-{rank}.pt", weights_only=True) for rank in (0, 1)} == {"rank 0"}


@pytest.mark.parametrize(("images", "size"), [(15, 2), (16, 4), (7, 5), (3, 3)])
def test_slices_cover_the_batch_once(images: int, size: int) -> None:
    """Every image belongs to exactly one rank, and no rank has more than one image more than another."""
    parts = [list(range(images))[ProcessGroup(rank, size).slice_of(images)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(images))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_team_of_one_changes_nothing() -> None:
    """Alone, the loss is not even multiplied by one, and BatchNorm stays torch's own."""
    loss = torch.tensor(0.7, requires_grad=True)
    assert SINGLE_PROCESS.scale_loss(loss, 3, 5) is loss
    assert SINGLE_PROCESS.broadcast(lambda: 4) == 4
    assert not any(isinstance(m, SharedBatchNorm) for m in classifier().modules())


@pytest.mark.parametrize(
    ("plan", "size", "words"),
    [
        (FULL, 16, "15 images cannot be shared by 16 devices"),
        (PLANS["adamw"].__class__(**{**vars(FULL), "streams": (Batches(name="episodic", ways=2),)}), 2, "one device"),
    ],
)
def test_what_cannot_be_shared_is_refused(plan: loop.TrainPlan, size: int, words: str) -> None:
    """A batch smaller than the group, and losses that are no means over images, end with a line that says so."""
    with pytest.raises(TrialError, match=words):
        loop.Loop(classifier(), plan, digits(), size_px=12, seed=0, compute=COMPUTE, group=ProcessGroup(0, size))
