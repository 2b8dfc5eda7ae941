"""What two ranks of `tests/training/test_data_parallel.py` run: each plan, its end written by the first."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from small_network import COMPUTE, classifier, digits, weights

from advisor.hooks import Augmentation, OptimizerSpec, Phase, Term, TrainPlan
from advisor.models.classifier import Classifier
from advisor.training import loop as training
from advisor.training.data_parallel import SINGLE_PROCESS, ProcessGroup

ALL = {"stem": 1e-3, "middle": 2e-3, "top": 4e-3}
SGD = OptimizerSpec(name="sgd", weight_decay=1e-3)
# A batch of 15 images gives one rank 8 and the other 7; 60 images are not a multiple of it, so epochs meet in a batch.
FULL = TrainPlan(phases=(Phase(rates=ALL, head_rate=5e-3),), steps=6, batch=15, optimizer=SGD)
TOP = replace(FULL, phases=(Phase(rates={"top": 4e-3}, head_rate=5e-3),))
STEPS = (Phase(start=0, rates={}, head_rate=5e-3), Phase(start=2, rates=ALL, head_rate=5e-3))
PLANS = {
    "frozen_norm": replace(FULL, norm="frozen"),
    "trained_norm": replace(FULL, norm="trained"),
    "two_phases": replace(FULL, phases=STEPS, norm="trained"),
    "adamw": replace(FULL, optimizer=OptimizerSpec(name="adamw")),
    "mixing": replace(FULL, augmentation=Augmentation(level="trivial", mixup=0.2, cutmix=0.5), ema=0.9),
    "cached_prefix": replace(TOP, views=2),
    "clipped_and_weighted": replace(FULL, optimizer=replace(SGD, clip_norm=0.1), class_weights="balanced"),
    "anchored": replace(
        FULL, terms=(Term(function="advisor_strategies.anchored:l2_sp", numbers={"alpha": 0.05, "beta": 0.01}),)
    ),
}


def start() -> Classifier:
    """Give the small network without its dropout, whose draws differ with the number of ranks."""
    network = classifier()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network


def trained(plan: TrainPlan, group: ProcessGroup = SINGLE_PROCESS) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Train the network by a plan; give its weights and the losses on the way."""
    loop = training.Loop(start(), plan, digits(), size_px=12, seed=0, compute=COMPUTE, group=group)
    losses = [step.loss for step in loop.run()]
    return weights(loop.finish()), losses


def main(folder: str) -> None:
    """Train every plan as one rank of a group."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    group = ProcessGroup(rank=int(os.environ["RANK"]), size=int(os.environ["WORLD_SIZE"]))
    for name, plan in PLANS.items():
        trained_weights, losses = trained(plan, group)
        torch.save({"weights": trained_weights, "losses": losses}, Path(folder) / f"{name}-{group.rank}.pt")
    torch.save(group.broadcast(lambda: f"rank {group.rank}"), Path(folder) / f"agreed-{group.rank}.pt")
    torch.distributed.barrier()
    # At once, as the product's ranks do: torch's own farewell aborts now and then, when a thread of gloo is still there.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
