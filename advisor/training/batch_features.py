"""What a training step hands to the head: the features of the step's images, through the network or from memory.

In: a classifier at work, a plan, pixels with labels. Out: for any step, features with gradients, labels and targets.
It ties together the order (`batch_sampler`), the views (`batch_loader`), the frozen prefix (`activation_cache`) and the
network.
Does NOT cover: losses (`losses`), phases and steps (`loop`), the optimizer (`optimizer`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from advisor.aliases import Float32s, Rows
from advisor.errors import TrialError
from advisor.models import backbone as backbones
from advisor.models import folding, inference
from advisor.models.classifier import Classifier
from advisor.records.plan import Compute, Preprocess, TrainPlan
from advisor.training import activation_cache, augmentation, losses
from advisor.training.batch_loader import BatchLoader
from advisor.training.batch_sampler import BatchSampler, EpisodeSampler
from advisor.training.data_parallel import SINGLE_PROCESS, ProcessGroup
from advisor.training.soft_answers import SoftAnswers


@dataclass(frozen=True, kw_only=True)
class TrainData:
    """What is trained on: canvases (N, S, S, 3) uint8, labels (N,), ids (N,), and `rows`, those that take part.

    The target domain, where a plan asks for it, has canvases and ids and no labels. `answers` are a teacher's on the rows
    and on the target; the views of the images are then those that the teacher saw.
    """

    canvas: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    ids: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int64]
    target_canvas: npt.NDArray[np.uint8] | None = None
    target_ids: npt.NDArray[np.uint64] | None = None
    answers: SoftAnswers | None = None


@dataclass(frozen=True)
class StepBatch:
    """A step's `features` (B, D), `labels` (B,), and `targets`: the labels, or probabilities (B, K) where mixed.

    `teacher` (B, K) are a teacher's log-probabilities for the same views, None where none taught.
    """

    features: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    teacher: torch.Tensor | None = None


@dataclass(frozen=True)
class TargetBatch:
    """A step's target `features` (M, D), and a teacher's log-probabilities (M, K) for the same views, None without one."""

    features: torch.Tensor
    teacher: torch.Tensor | None = None


class BatchFeatures:
    """Features of any step's images. `cache_bytes` bounds what a frozen prefix may keep; 0 keeps nothing.

    In a group each rank gets its slice of them. Raises TrialError where the plan wants a target domain that is not
    given, or a batch has fewer images than the group ranks.
    """

    def __init__(
        self,
        classifier: Classifier,
        plan: TrainPlan,
        data: TrainData,
        *,
        size_px: int,
        seed: int,
        compute: Compute,
        preprocess: Preprocess,
        cache_bytes: int,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._classifier = classifier
        self._plan = plan
        self._seed = seed
        self._compute = compute
        self._group = group
        self._device = torch.device(compute.device)
        view_seed = seed if data.answers is None else data.answers.view_seed

        def source(canvas: npt.NDArray[np.uint8], ids: npt.NDArray[np.uint64], rows: Rows) -> BatchLoader:
            return BatchLoader(
                canvas, ids, rows, plan, size_px=size_px, seed=view_seed, compute=compute, preprocess=preprocess
            )

        self._source = source(data.canvas, data.ids, data.rows)
        labels = np.ascontiguousarray(data.labels[data.rows], dtype=np.int64)
        self._labels = torch.from_numpy(labels)
        self._stream = _order(plan, labels, self._source.ids, seed)
        self._support = _support(self._stream, self._device)
        if self._support is not None and not group.is_single:
            raise TrialError("training on episodes runs on one device:", hint="leave --devices out.")
        self._target = _target(data, plan, seed, source)
        self._teacher = _answers(data, plan, self._source.ids)
        self._target_teacher = _answers(data, plan, self._target[0].ids) if self._target is not None else None
        _check_group(group, self._stream.batch, plan)
        self._depth, self._frozen = 0, classifier  # the stages of the frozen prefix, and what computes it
        self._activations: activation_cache.ActivationCache | None = None
        if cache_bytes > 0 and self._target is None and activation_cache.reusable(plan, classifier.backbone):
            self._open_cache(cache_bytes, size_px)

    @property
    def cached(self) -> bool:
        """Whether the frozen prefix is read from memory."""
        return self._activations is not None

    @property
    def batch(self) -> int:
        """Images of a step, over all ranks."""
        return self._stream.batch

    @property
    def support(self) -> torch.Tensor | None:
        """Which images (B,) of a step are an episode's support; None where the plan draws no episodes."""
        return self._support

    def counts(self, classes: int) -> Rows:
        """Count the training images of each class, (K,)."""
        return np.bincount(self._labels.numpy(), minlength=classes)

    def batch_at(self, step: int) -> StepBatch:
        """Compute the features of a step's images, with their labels and targets. Runs under the caller's autocast."""
        positions, rounds = self._stream.at(step)
        shard, levels = self._group.slice_of(len(positions)), self._plan.augmentation
        mixed = self._activations is None and (levels.mixup > 0 or levels.cutmix > 0)
        if not mixed:  # else an image's partner may belong to another rank
            positions, rounds = positions[shard], rounds[shard]
        labels = self._labels[torch.from_numpy(positions)].to(self._device, non_blocking=True)
        taught = self._taught(self._teacher, self._source, positions, rounds)
        if self._activations is not None:
            return StepBatch(self._behind(self._activations.rows(positions, rounds)), labels, labels, taught)
        images, targets = self._source.views(positions, rounds), labels
        if self._source.ahead:
            coming, _ = self._stream.at(step + 1)
            self._source.expect(coming if mixed else coming[shard])
        if mixed:
            probabilities = losses.one_hot(labels, next(self._classifier.head.parameters()).shape[0])
            counters = self._source.counters(rounds)
            ids = self._source.ids[positions]
            images, targets = augmentation.mix(images, probabilities, ids, counters, self._seed, levels)
            images, targets, labels = images[shard], targets[shard], labels[shard]
        return StepBatch(self._classifier.features(images), labels, targets, taught)

    def target_at(self, step: int) -> TargetBatch | None:
        """Compute the features of a step's target images, in a pass of their own; None without a target domain.

        Of their own, so that the two domains share no batch statistics.
        """
        if self._target is None:
            return None
        source, stream = self._target
        positions, rounds = stream.at(step)
        taught = self._taught(self._target_teacher, source, positions, rounds)
        return TargetBatch(self._classifier.features(source.views(positions, rounds)), taught)

    def _taught(
        self, answers: Float32s | None, source: BatchLoader, positions: Rows, rounds: Rows
    ) -> torch.Tensor | None:
        if answers is None:
            return None
        return torch.from_numpy(answers[source.counters(rounds), positions]).to(self._device, non_blocking=True)

    def autocast(self) -> torch.autocast:
        """Return the context in which the network runs in the precision asked for."""
        half = self._compute.precision == "bfloat16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=half)

    # ---- the frozen prefix -------------------------------------------------------------------------------------

    def _open_cache(self, cache_bytes: int, size_px: int) -> None:
        self._depth = activation_cache.depth(self._plan, self._classifier.backbone)
        rounds = -(-self._plan.steps * self._stream.batch // len(self._labels))
        views = 1 if self._plan.augmentation.level == "none" else min(self._plan.views, rounds)
        if inference.folds(len(self._labels) * views, self._compute):
            self._frozen = _folded(self._classifier, size_px)
        cache = activation_cache.ActivationCache(
            len(self._labels), views, self._before, chunk=self._compute.inference_batch
        )
        if cache.open(cache_bytes):
            self._activations = cache

    def _before(self, positions: Rows, rounds: Rows) -> torch.Tensor:
        """Run the frozen prefix; the features themselves where no stage trains."""
        network = self._frozen
        modes = [(module, module.training) for module in network.modules()]
        network.eval()  # a view is first asked for in the middle of a step
        with torch.no_grad(), self.autocast():
            images = self._source.views(positions, rounds)
            if self._depth == len(network.backbone.stages):
                result = network.features(images)
            else:
                result = backbones.run(network.backbone, network.body, images, 0, self._depth)
        for module, training in modes:
            module.training = training
        return result

    def _behind(self, activations: torch.Tensor) -> torch.Tensor:
        """Run what follows the frozen prefix."""
        network = self._classifier
        backbone = network.backbone
        if self._depth == len(backbone.stages):
            return activations
        last = network.layers == "last"
        end = len(backbone.stages) - 1 if last else backbones.stage_index(backbone, network.layers)
        x = backbones.run(backbone, network.body, activations, self._depth, end + 1)
        return backbone.pool(network.body, end, x)


def _folded(classifier: Classifier, size_px: int) -> Classifier:
    """Return the classifier around a copy of its network with BatchNorm folded, for what no phase trains."""
    body = folding.folded_body(classifier.backbone, classifier.body, size_px)
    return Classifier(classifier.backbone, body, classifier.head, classifier.layers, mirror=classifier.mirror)


def _answers(data: TrainData, plan: TrainPlan, ids: npt.NDArray[np.uint64]) -> Float32s | None:
    """Return the teacher's answers (V, N, K) on the images with these ids; None where none taught.

    Raises TrialError where they are of another number of views than the plan draws, or images are mixed.
    """
    if data.answers is None:
        return None
    views, mixes = len(data.answers.log_probabilities), plan.augmentation.mixup or plan.augmentation.cutmix
    if plan.views != views or mixes:
        asked = "mixed images" if mixes else f"{plan.views} views of each image"
        raise TrialError(f"the teacher answered {views} views of each image, and the plan asks for {asked}")
    return data.answers.of(ids)


def _order(plan: TrainPlan, labels: Rows, ids: npt.NDArray[np.uint64], seed: int) -> BatchSampler | EpisodeSampler:
    episodic = next((stream for stream in plan.streams if stream.name == "episodic"), None)
    if episodic is None:
        return BatchSampler(ids, seed=seed, batch=plan.batch)
    return EpisodeSampler(labels, ids, episodic, seed=seed)


def _support(stream: BatchSampler | EpisodeSampler, device: torch.device) -> torch.Tensor | None:
    return torch.from_numpy(stream.support).to(device) if isinstance(stream, EpisodeSampler) else None


def _check_group(group: ProcessGroup, batch: int, plan: TrainPlan) -> None:
    if batch < group.size:
        raise TrialError(
            f"a step of {batch} images cannot be shared by {group.size} devices:", hint="take fewer --devices."
        )
    special = [stream.name for stream in plan.streams if stream.name != "labelled"]
    if special and not group.is_single:  # their losses are no means over images, which slices could be averaged to
        raise TrialError(f"a plan with {special[0]} batches trains on one device:", hint="leave --devices out.")


def _target(
    data: TrainData, plan: TrainPlan, seed: int, source: Callable[..., BatchLoader]
) -> tuple[BatchLoader, BatchSampler] | None:
    if all(stream.name != "target" for stream in plan.streams):
        return None
    if data.target_canvas is None or data.target_ids is None:
        raise TrialError("this plan adapts to a target domain and none is given:", hint="name it with --target DIR.")
    pixels = source(data.target_canvas, data.target_ids, np.arange(len(data.target_ids)))
    return pixels, BatchSampler(pixels.ids, seed=seed, batch=plan.batch, purpose="target order")
