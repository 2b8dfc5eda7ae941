"""The pretraining loop: predict both teachers from the student's pooled features, and keep a moving average.

In: shards (another process builds them, so that training starts at once), a seed, and an end in steps or seconds.
Out: `checkpoint.pt` (everything that a resume needs) and `pocket.safetensors` (the averaged weights, half precision),
both replaced atomically every few minutes. What a step draws is a function of (seed, step) alone.
Does NOT cover: pixels and answers (`views`, `teachers`, `shards`). Source: Beyer et al. 2022 (2106.05237), long and
consistent distillation: the student sees the teacher's own view.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from advisor_pocket import network
from advisor_pocket.training import shards
from advisor_pocket.training.teachers import COLUMNS, PARTS, normalise

TEMPERATURE = 2.0
# A mean over 1,280 columns pulls about ten times more weakly than a divergence: these shares bring them level.
SHARES = {"mobilenet": 10.0, "squeezenet": 3.0, "logits": 0.5}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides a run. With `steps` > 0 progress counts steps and a rerun is the same; else it counts seconds."""

    seed: int = 0
    steps: int = 0
    seconds: float = 0.0
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.05
    warmup: float = 0.02  # share of the run
    cooldown: float = 0.5  # share of the run in which the rate falls to zero
    shards: int = 5
    shard_every: int = 200  # steps after which one more shard is drawn from
    sizes: tuple[tuple[float, int], ...] = ((0.0, 64), (0.4, 80), (0.75, 96))  # from this progress on, this many px
    save_every_s: float = 60.0

    def factor(self, progress: float) -> float:
        """Scale of the learning rate: linear warm-up, flat, then a half cosine to zero."""
        if progress < self.warmup:
            return max(progress / self.warmup, 0.01)
        rest = max(0.0, (progress - 1 + self.cooldown) / self.cooldown)
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, rest))

    def size(self, progress: float) -> int:
        """Pixels of the student's input: small and quick first, as it will be used at the end."""
        return [px for since, px in self.sizes if progress >= since][-1]


class Student(nn.Module):
    """The network with the linear heads that only pretraining needs."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network.PocketNet()
        self.heads = nn.Linear(network.DIM, COLUMNS)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Predict the standardised answers (N, COLUMNS)."""
        features_ND: torch.Tensor = self.network(images_NCHW)
        return torch.as_tensor(self.heads(features_ND))


@dataclass(frozen=True)
class Team:
    """Which of `size` processes this is. Each takes its share of every batch on one thread.

    On a shared machine this is far quicker than one process of several threads: those wait for one another in every
    operation (20 views/s against 140 with one thread, measured beside four busy processes on two cores).
    """

    rank: int = 0
    size: int = 1

    def agree(self, tensors: list[torch.Tensor], seconds: float) -> float:
        """Average gradients in place over the team, and the time taken, so that all stay in step."""
        if self.size == 1:
            return seconds
        flat = torch.cat([t.reshape(-1) for t in tensors] + [torch.tensor([seconds])])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
        return float(flat[-1])


class Run:
    """State of one pretraining run in one folder, resumed from its checkpoint where there is one."""

    def __init__(self, folder: Path, plan: Plan, team: Team) -> None:
        self.folder, self.plan, self.team = folder, plan, team
        torch.manual_seed(plan.seed)
        self.student = Student().to(memory_format=torch.channels_last)
        self.average = {k: v.clone() for k, v in self.student.network.state_dict().items()}
        norms = [p for p in self.student.parameters() if p.ndim < 2]
        weights = [p for p in self.student.parameters() if p.ndim >= 2]
        groups = [{"params": weights, "weight_decay": plan.decay}, {"params": norms, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=plan.rate, fused=True)
        self.step, self.seconds, self.clock = 0, 0.0, 0.0
        self.pool: list[tuple[np.ndarray, np.ndarray]] = []
        shards.wait(folder / "shards", 0)
        answers_NA = torch.from_numpy(shards.read(folder / "shards", 0)[1].astype(np.float32))
        self.mean_A = answers_NA.mean(0)
        self.scale_A = 1 / answers_NA.std(0).clamp(min=1e-2)
        if (folder / "checkpoint.pt").exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self.folder / "checkpoint.pt", weights_only=True)
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.seconds = state["average"], state["step"], state["seconds"]

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0..1."""
        done = self.step / self.plan.steps if self.plan.steps else self.seconds / self.plan.seconds
        return min(1.0, done)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw this step's views, from the shards due by now, as (images_NCHW, answers_NA)."""
        due = min(self.plan.shards, 1 + self.step // self.plan.shard_every)
        while len(self.pool) < due:
            shards.wait(self.folder / "shards", len(self.pool))
            self.pool.append(shards.read(self.folder / "shards", len(self.pool)))
        rng = np.random.default_rng((self.plan.seed, 1, self.step))
        drawn = np.sort(rng.choice(due * shards.SHARD_VIEWS, self.plan.batch, replace=False))
        drawn = drawn[self.team.rank :: self.team.size]
        places = [(self.pool[i // shards.SHARD_VIEWS], i % shards.SHARD_VIEWS) for i in drawn]
        images_NCHW = normalise(torch.from_numpy(np.stack([shard[0][row] for shard, row in places])))
        answers_NA = torch.from_numpy(np.stack([shard[1][row] for shard, row in places])).float()
        mirrored = torch.from_numpy(rng.random(self.plan.batch) < 0.5)[self.team.rank :: self.team.size]
        images_NCHW = torch.where(mirrored[:, None, None, None], images_NCHW.flip(3), images_NCHW)
        size = self.plan.size(self.progress)
        if size != shards.STUDENT_PX:
            images_NCHW = functional.interpolate(images_NCHW, size=size, mode="bilinear", antialias=True)
        return images_NCHW.contiguous(memory_format=torch.channels_last), answers_NA

    def train_step(self) -> dict[str, float]:
        """Run one optimizer step; return the losses by name."""
        images_NCHW, answers_NA = self.batch()
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * self.plan.factor(self.progress)
        with torch.autocast("cpu", torch.bfloat16):
            features_ND = self.student.network(images_NCHW)
        losses = self.losses(self.student.heads(features_ND.float()), answers_NA)
        self.optimizer.zero_grad()
        torch.stack([SHARES[name] * loss for name, loss in losses.items()]).sum().backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]
        now = time.monotonic()
        self.seconds = self.team.agree(gradients, self.seconds + now - self.clock)
        self.clock = now
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self._follow()
        return {name: loss.item() for name, loss in losses.items()}

    def losses(self, guesses_NA: torch.Tensor, answers_NA: torch.Tensor) -> dict[str, torch.Tensor]:
        """Squared error on standardised features, divergence of softened classes on logits."""
        standard_NA = (answers_NA - self.mean_A) * self.scale_A
        losses = {}
        for name in ("mobilenet", "squeezenet"):
            losses[name] = functional.mse_loss(guesses_NA[:, PARTS[name]], standard_NA[:, PARTS[name]])
        teacher = functional.log_softmax(answers_NA[:, PARTS["logits"]] / TEMPERATURE, 1)
        guessed = functional.log_softmax(guesses_NA[:, PARTS["logits"]] / TEMPERATURE, 1)
        losses["logits"] = TEMPERATURE**2 * functional.kl_div(guessed, teacher, log_target=True, reduction="batchmean")
        return losses

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average: over about the last thousand steps, fewer while the run is young."""
        keep = min(0.999, self.step / (self.step + 20))
        for name, value in self.student.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)
            else:
                self.average[name].copy_(value)

    def save(self) -> None:
        """Write the checkpoint and the averaged weights."""
        state: dict[str, object] = {"student": self.student.state_dict(), "optimizer": self.optimizer.state_dict()}
        state |= {"average": self.average, "step": self.step, "seconds": self.seconds}
        torch.save(state, self.folder / "checkpoint.tmp")
        os.replace(self.folder / "checkpoint.tmp", self.folder / "checkpoint.pt")
        export(self.average, self.folder / "pocket.safetensors")

    def train(self, log: Callable[[str], None]) -> None:
        """Run to the end, saving as it goes."""
        saved = noted = self.clock = time.monotonic()
        sums: dict[str, float] = {}
        while self.progress < 1:
            for name, loss in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + loss / 100
            now = time.monotonic()
            if self.team.rank:
                continue
            if self.step % 100 == 0:
                text = " ".join(f"{name} {loss:.3f}" for name, loss in sums.items())
                rate = 100 * self.plan.batch / (now - noted)
                log(f"step {self.step} progress {self.progress:.3f} {text} {rate:.0f} views/s")
                sums, noted = {}, now
            if now - saved > self.plan.save_every_s:
                self.save()
                saved = now
        if self.team.rank == 0:
            self.save()


def export(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a network's tensors in half precision (counters of BatchNorm stay whole numbers), atomically."""
    tensors = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
    save_file(tensors, path.with_suffix(".tmp"), metadata={"format": "pt"})
    os.replace(path.with_suffix(".tmp"), path)
