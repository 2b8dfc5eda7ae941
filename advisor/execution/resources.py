"""What trials are made from, loaded once and kept by a worker: pixels, networks, features, labels, folds.

In: an opened data set (pool items only). Out: arrays and modules on demand. A network is always handed out with its
pretrained tensors freshly in place, so that no trial sees what another one trained.
Does NOT cover: what is done with them (`trial`), where files are kept (`runtime.cache`,
`models.pretrained_weights`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from advisor.aliases import CountProgress, NamedProgress
from advisor.data import pixels, splits
from advisor.data.decoding import decode_limits
from advisor.errors import StrategyError, TrialError, WeightsError
from advisor.hooks import Backbone, Context
from advisor.models import backbone as backbones
from advisor.models import features, pretrained_weights
from advisor.plugin_guard import GuardedStrategy
from advisor.records import Candidate, Compute, ForwardSpec, Preprocess, StageSize, TrainPlan, Unreadable
from advisor.records.messages import OpenDataset
from advisor.registry import Registry
from advisor.runtime import cache, device
from advisor.testing import plans
from advisor.training import soft_answers
from advisor.training.data_parallel import SINGLE_PROCESS, ProcessGroup
from advisor.training.soft_answers import SoftAnswers


class Resources:
    """Everything that a worker holds for one data set. Rows are positions in `job.items`; `group` trains together."""

    def __init__(
        self, job: OpenDataset, registry: Registry, report: NamedProgress, *, group: ProcessGroup = SINGLE_PROCESS
    ) -> None:
        decode_limits.set_max_pixels(job.max_pixels)
        self.job = job
        self.group = group
        self.registry = registry
        self.report = report
        self.root = Path(job.root)
        self.store = cache.Store()
        self.labels: npt.NDArray[np.int64] = np.array([i.label for i in job.items], dtype=np.int64)
        self.ids: npt.NDArray[np.uint64] = np.array([int(i.sha256[:15], 16) for i in job.items], dtype=np.uint64)
        self.unreadable: tuple[Unreadable, ...] = ()
        self._folds: dict[int, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]] = {}
        self._tensors: dict[str, tuple[dict[str, torch.Tensor], str, str]] = {}
        self._sizes: dict[str, tuple[StageSize, ...]] = {}
        self._canvas: dict[pixels.PixelRule, npt.NDArray[np.uint8]] = {}
        self._pooled: dict[tuple[Any, ...], features.Pooled] = {}
        self.start_heads: dict[tuple[Any, ...], nn.Module] = {}  # what training starts from (`fitting`)

    @property
    def has_target(self) -> bool:
        """True if an unlabelled target domain is open."""
        return bool(self.job.target_items)

    @cached_property
    def answers(self) -> SoftAnswers | None:
        """The answers of the teacher that this data set was opened with; None without one."""
        return soft_answers.read(Path(self.job.answers)) if self.job.answers else None

    @property
    def target_ids(self) -> npt.NDArray[np.uint64]:
        """Return the ids of the target's images."""
        return np.array([int(i.sha256[:15], 16) for i in self.job.target_items], dtype=np.uint64)

    def target_canvas(self, rule: pixels.PixelRule) -> tuple[npt.NDArray[np.uint8], tuple[Unreadable, ...]]:
        """Return the target's pixels (M, S, S, 3), decoded once and cached on disk, and what could not be read of them."""
        return pixels.canvas(Path(self.job.target_root), self.job.target_items, rule, store=self.store)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.job.classes)

    @cached_property
    def groups(self) -> npt.NDArray[np.int64]:
        """The number of the set of images that each item must stay together with, (N,)."""
        return np.asarray(splits.groups_of(self.job.items), dtype=np.int64)

    def folds(self, repeat: int = 0) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Return (training rows, validation rows) of each fold; another `repeat` is another stratified draw."""
        if repeat not in self._folds:
            groups = self.groups  # equal bytes never stand on both sides of a fold
            seed, k = self.job.seed + 1000 * repeat, self.job.folds
            held_out = np.array([self.job.holds_out_val and item.given == "val" for item in self.job.items])
            self._folds[repeat] = (
                splits.holdout_folds(self.labels, groups, held_out, k=k, seed=seed)
                if splits.can_hold_out(self.labels, groups, held_out, k=k)
                else splits.folds(self.labels, groups, k=k, seed=seed)
            )
        return self._folds[repeat]

    def compute(self, backbone: Backbone) -> Compute:
        """Choose how this backbone's arithmetic is done here, or as the recipe says that is run again."""
        chosen = device.choose(self.job.device, backbone, self.job.workers)
        if self.job.arithmetic is not None:
            chosen = device.as_recorded(self.job.arithmetic, chosen)
        if self.job.threads is not None:
            chosen = replace(chosen, threads=self.job.threads)
        return chosen

    def forward_spec(self, backbone: Backbone, size_px: int) -> ForwardSpec:
        """Return how squares of this size pass through this backbone here."""
        return ForwardSpec(backbone.preprocess, size_px, self.compute(backbone))

    def rule(self, backbone: Backbone, size_px: int, fit: str = "crop") -> pixels.PixelRule:
        """Return the rule by which files become square pixels for this backbone."""
        return pixels.rule_for(self.preprocess(backbone), size_px, fit)

    def preprocess(self, backbone: Backbone) -> Preprocess:
        """Return the backbone's preprocessing with the range of samples of this data set."""
        return replace(backbone.preprocess, value_range=self.job.value_range)

    @property
    def decoded(self) -> Collection[pixels.PixelRule]:
        """The rules by which the items' pixels are available."""
        return self._canvas.keys()

    def add_decoded(
        self, rule: pixels.PixelRule, array: npt.NDArray[np.uint8], unreadable: Sequence[Unreadable]
    ) -> None:
        """Store the pixels of all items (N, S, S, 3) that another process decoded."""
        self.unreadable = tuple({u.path: u for u in (*self.unreadable, *unreadable)}.values())
        self._canvas[rule] = array

    def canvas(self, rule: pixels.PixelRule) -> npt.NDArray[np.uint8]:
        """Return all items' pixels (N, S, S, 3), decoded once and cached on disk."""
        if rule not in self._canvas:
            if not self.job.root:
                raise TrialError(
                    f"the images are not on this node, and their pixels at {rule.size_px} px were not sent"
                )
            array, broken = pixels.canvas(
                self.root,
                self.job.items,
                rule,
                store=self.store,
                progress=lambda done, total: self.report("decode", done, total),
            )
            self.add_decoded(rule, array, broken)
        return self._canvas[rule]

    def tensors(self, backbone: Backbone) -> tuple[dict[str, torch.Tensor], str, str]:
        """Read pretrained tensors once: (tensors, SHA-256 of the file, warning or ""). Raises WeightsError."""
        if backbone.name not in self._tensors:
            where = pretrained_weights.locate(backbone, weights_dir=self.job.weights_dir, offline=self.job.offline)
            if where.state == "downloadable":
                where = pretrained_weights.fetch(backbone, weights_dir=self.job.weights_dir, offline=self.job.offline)
            if where.state not in ("built_in", "cached"):
                raise WeightsError(f"{backbone.name}: {where.reason}", hint=where.command)
            tensors, digest, warning = pretrained_weights.read(backbone, where)
            self._tensors[backbone.name] = (tensors, digest, warning or "")
        return self._tensors[backbone.name]

    def network(self, backbone: Backbone, *, from_scratch: bool = False, seed: int = 0) -> nn.Module:
        """Build the network anew, with its pretrained tensors, or random from `seed` where that was asked for by name."""
        tensors = None if from_scratch else self.tensors(backbone)[0]
        module = backbones.build(backbone, tensors, seed=seed)
        return module.to(torch.device(self.compute(backbone).device))

    def weights_key(self, backbone: Backbone, *, from_scratch: bool = False, seed: int = 0) -> str:
        """Name the tensors that the network starts from, for cache keys."""
        return f"random-{seed}" if from_scratch else self.tensors(backbone)[1]

    def stage_sizes(self, backbone: Backbone) -> tuple[StageSize, ...]:
        """Count parameters by stage, once a backbone."""
        if backbone.name not in self._sizes:
            self._sizes[backbone.name] = backbones.stage_sizes(backbone)
        return self._sizes[backbone.name]

    def context(self, backbone: Backbone, rows: npt.NDArray[np.int64], size_px: int, batch: int = 32) -> Context:
        """Return what a strategy may know when it plans for these training rows."""
        stages = self.stage_sizes(backbone)
        counts = np.bincount(self.labels[rows], minlength=self.classes)
        return Context(
            images=len(rows),
            classes=self.classes,
            class_counts=tuple(int(c) for c in counts),
            stages=stages,
            has_norm=any(s.has_norm for s in stages),
            dim=backbone.dim,
            device=self.compute(backbone).device,
            has_target=self.has_target,
            has_teacher=bool(self.job.answers),
            batch=batch,
            size_px=size_px,
            objective=self.job.objective.name,
        )

    def plan(self, candidate: Candidate, rows: npt.NDArray[np.int64]) -> TrainPlan:
        """Return the plan of the candidate's strategy for these training rows."""
        backbone = self.registry.backbone(candidate.backbone)
        strategy = self.registry.strategy(candidate.strategy)
        size_px = candidate.size_px or backbone.preprocess.size
        context = self.context(backbone, rows, size_px, images_per_step(candidate.parameters) or 32)
        try:
            plan = strategy.plan(candidate.parameters, context)
        except StrategyError:
            raise
        except Exception as error:
            raise TrialError(f"{candidate.strategy}: plan() failed: {type(error).__name__}: {error}") from error
        if backbone.frozen_only and any(phase.rates for phase in plan.phases):
            why = f"trains stages of {backbone.name}, which is used as it is: {backbone.frozen_only}"
            raise TrialError(f"{candidate.strategy}: plan() {why}")
        return plan

    def allowed_plan(self, candidate: Candidate, rows: npt.NDArray[np.int64]) -> TrainPlan:
        """Return the plan as `plan` does. Raises StrategyError where a third-party one says what no training can do."""
        plan, strategy = self.plan(candidate, rows), self.registry.strategy(candidate.strategy)
        if isinstance(strategy, GuardedStrategy):
            backbone = self.registry.backbone(candidate.backbone)
            context = self.context(backbone, rows, candidate.size_px or backbone.preprocess.size)
            faults = plans.untrainable(plan, context)
            if faults:
                raise strategy.failure(f"plan() returned a plan that the hooks do not allow: {faults[0]}")
        return plan

    def pooled(
        self,
        backbone: Backbone,
        size_px: int,
        fit: str = "crop",
        *,
        scratch_seed: int | None = None,
        flip: bool = False,
        mirror: bool = False,
        watch: CountProgress | None = None,
    ) -> features.Pooled:
        """Return every stage's pooled features of all items, from the cache where they are.

        `flip` selects those of the mirror images, `mirror` the mean over both views. `watch` sees how far a pass is.
        """
        if mirror:
            views = [self.pooled(backbone, size_px, fit, scratch_seed=scratch_seed, flip=f) for f in (False, True)]
            return features.averaged(*views)
        key = (backbone.name, size_px, fit, scratch_seed, flip)
        if key not in self._pooled:
            scratch = scratch_seed is not None
            canvas = self.canvas(self.rule(backbone, size_px, fit))
            self._pooled[key] = features.extract(
                backbone,
                self.network(backbone, from_scratch=scratch, seed=scratch_seed or 0),
                canvas,
                self.forward_spec(backbone, size_px),
                weights_key=self.weights_key(backbone, from_scratch=scratch, seed=scratch_seed or 0),
                store=self.store,
                item_key=self._item_key(fit),
                flip=flip,
                origin=self.registry.origin(backbone.name),
                progress=lambda done, total: self._passed(backbone, done, total, watch),
            )
        return self._pooled[key]

    def _passed(self, backbone: Backbone, done: int, total: int, watch: CountProgress | None) -> None:
        if watch is not None:
            watch(done, total)
        self.report(f"features of {backbone.name}", done, total)

    def _item_key(self, fit: str) -> str:
        import hashlib

        digest = hashlib.sha256(fit.encode())
        if self.job.value_range is not None:
            digest.update(repr(self.job.value_range).encode())
        for item in self.job.items:
            digest.update(bytes.fromhex(item.sha256))
        return digest.hexdigest()


def images_per_step(parameters: Mapping[str, Any]) -> int | None:
    """Return the parameter `batch` of a strategy; None where it has none, or words that only the strategy understands."""
    batch = parameters.get("batch")
    if isinstance(batch, bool) or not isinstance(batch, int | float):
        return None
    return int(batch) if batch >= 1 else None
