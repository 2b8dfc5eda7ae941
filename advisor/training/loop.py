"""The one training loop: it executes plans, as a generator of steps, and can stop and go on at any step, exactly.

In: a classifier at its start, a `TrainPlan`, pixels with labels. Out: the classifier, trained in place, step by step.
Every draw is a function of (seed, purpose, step, image), so a state holds weights and momenta and no generator; a run
that was stopped and resumed equals one that was not, bit by bit, on the same kind of machine.
There is no early stopping: without a failure a training runs all steps of its plan. A search may pause one, between two
calls of `run`, only at the rungs (`RUNGS` in `records.trials`): `execution.trial` does, above the thresholds of
`tuning.pruner`; and it gives up a training that is predicted to end after its time limit (`execution.timing`).
Does NOT cover: scores (`metrics.classification`), rates and groups (`schedules`, `optimizer`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from advisor import schedules
from advisor.errors import DivergedError, OutOfMemoryError, TrialError, is_out_of_memory
from advisor.hooks import TermInputs
from advisor.models import normalise, weight_ops
from advisor.models.classifier import Classifier
from advisor.records.plan import Compute, Preprocess, TrainPlan
from advisor.runtime import json_records, rng
from advisor.training import activation_cache, adapters, loss_terms, losses, optimizer
from advisor.training.batch_features import BatchFeatures, StepBatch, TrainData
from advisor.training.data_parallel import SINGLE_PROCESS, ProcessGroup, synchronise

__all__ = ["Loop", "Step", "TrainData"]

TOO_FAST = "the learning rate is too high for this network."
NOT_FINITE = "nothing was trained before: outputs of the network, or a term of the loss, are not finite."
LOSS_READ_EVERY = 16  # steps between two reads of the loss on a GPU, where each read waits for the device


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that was done: `step` counts from 1 to `steps`; `loss` is its loss, or the last one read if not `is_read`."""

    step: int
    steps: int
    loss: float
    seconds: float
    is_read: bool = True


class Loop:
    """A plan being executed. Build it with the classifier as it stands before the first step, also to resume.

    `cache_bytes` bounds the memory for activations of a frozen prefix; 0 computes them anew at every step. `group` is
    this process's place among those that train the same plan together, each on a slice of every batch. `read_every` is the
    number of steps between two reads of the loss: by default 1 on a CPU, elsewhere `LOSS_READ_EVERY`.
    Raises TrialError where there is nothing to train, or the plan wants a target domain or a teacher that is not given.
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
        preprocess: Preprocess | None = None,
        cache_bytes: int = activation_cache.LIMIT_BYTES,
        group: ProcessGroup = SINGLE_PROCESS,
        read_every: int | None = None,
    ) -> None:
        self.seed, self._group, self._device = seed, group, torch.device(compute.device)
        self._read_every = read_every or (1 if self._device.type == "cpu" else LOSS_READ_EVERY)
        self.classifier = _placed(classifier, self._device, compute.layout, group)
        self.plan, self.step, self._images = _runnable(plan, data, classifier), 0, len(data.rows)
        self._origin, self._plan_digest = weight_ops.digest(classifier), json_records.digest(plan)
        self._start = weight_ops.copy(classifier) if plan.terms or plan.finish else {}
        self._adapters = adapters.put_in(self.plan, classifier.backbone, classifier.body, seed)
        self._average = weight_ops.copy(classifier) if plan.ema else {}
        self._tuned: dict[str, torch.Tensor] = {}
        self._terms = [(loss_terms.as_loss(term), dict(term.numbers)) for term in plan.terms]
        self._companions = loss_terms.companions(plan.terms, classifier.head, seed).to(self._device)
        self._slots = _slots(classifier, self._companions, self._adapters)
        self._optimizer, self._phase, self._loss = optimizer.build(plan.optimizer, self._slots), -1, float("nan")
        self._modes: list[tuple[torch.nn.Module, bool]] = []
        self._balance: losses.Balance | None = None
        self._shared: Callable[[], torch.Tensor] | None = None  # the loss, with gradients averaged over a group
        self._feed = BatchFeatures(
            classifier,
            self.plan,
            data,
            size_px=size_px,
            seed=seed,
            compute=compute,
            preprocess=preprocess or classifier.backbone.preprocess,
            cache_bytes=cache_bytes,
            group=group,
        )

    @property
    def cached(self) -> bool:
        """Whether activations of a frozen prefix are read from memory."""
        return self._feed.cached

    def rounds(self, step: int) -> float:
        """How often every image has been seen after so many steps."""
        return step * self.plan.batch / self._images

    # ---- running -----------------------------------------------------------------------------------------------

    def run(self, until: int | None = None) -> Iterator[Step]:
        """Train up to step `until` (to the end by default), yielding after every step. The first one's loss is read.

        Raises DivergedError where the loss is no longer finite, OutOfMemoryError where memory runs out.
        """
        last = min(self.plan.steps, self.plan.steps if until is None else until)
        first = self.step + 1
        while self.step < last and not self._tuned:
            began = time.perf_counter()
            with _memory_handled(self._device, self.plan.batch):
                loss = self._advance()
            self.step += 1
            is_read = self.step in (first, last) or self.step % self._read_every == 0
            if is_read:
                self._read_loss(loss)
            seconds = time.perf_counter() - began
            yield Step(step=self.step, steps=self.plan.steps, loss=self._loss, seconds=seconds, is_read=is_read)

    def _read_loss(self, loss: torch.Tensor) -> None:
        self._loss = float(self._group.mean(loss))
        if not math.isfinite(self._loss):
            raise DivergedError(
                f"the training loss is {self._loss} at step {self.step} of {self.plan.steps}:",
                hint=TOO_FAST if self.step > 1 else NOT_FINITE,
            )

    def _advance(self) -> torch.Tensor:
        self._enter_phase()
        plan = self.plan
        optimizer.set_rates(self._optimizer, schedules.rates_at(plan.schedule, plan.phases, self.step, plan.steps))
        self._optimizer.zero_grad(set_to_none=True)
        with _seeded(rng.key(self.seed, "network", self.step, *self._group.seed_suffix), self._device):
            loss = (self._shared or self._loss_now)()
            loss.backward()  # type: ignore[no-untyped-call]
        if plan.optimizer.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(optimizer.live_parameters(self._slots), plan.optimizer.clip_norm)
        self._optimizer.step()
        if self._average:
            weight_ops.lerp(self._average, self.classifier, plan.ema, self.step)
        return loss.detach()

    def _enter_phase(self) -> None:
        index = schedules.phase_at(self.plan.phases, self.step)
        if index != self._phase:
            self._phase = index
            phase, network = self.plan.phases[index], self.classifier
            optimizer.freeze(self._slots, phase)
            self._modes = optimizer.modes(
                network.backbone, network.body, network.head, self._slots, phase, self.plan.norm
            )
            if not self._group.is_single:
                self._shared = self._group.parallel(self._loss_now, network, self._companions)
        for module, training in self._modes:  # code that ran between two steps may have changed it
            if module.training is not training:
                module.training = training

    def _loss_now(self) -> torch.Tensor:
        with self._feed.autocast():
            batch = self._feed.batch_at(self.step)
            # In episodes the features belong to the terms: the head learns beside them and sends no gradient back.
            logits = self.classifier.head(batch.features if self._feed.support is None else batch.features.detach())
            if self._balance is None:
                counts = self._feed.counts(logits.shape[1])
                self._balance = losses.balance(self.plan.class_weights, counts, self._device)
            loss = losses.cross_entropy(
                logits, batch.targets, smoothing=self.plan.label_smoothing, balanced=self._balance
            )
            if self._terms:
                inputs = self._term_inputs(batch, logits)
                for position, (function, numbers) in enumerate(self._terms):
                    mine = str(position)
                    companion = self._companions[mine] if mine in self._companions else None  # noqa: SIM401 (no get)
                    loss = loss + function(replace(inputs, companion=companion), **numbers)
        return self._group.scale_loss(loss, len(batch.labels), self._feed.batch)

    def _term_inputs(self, batch: StepBatch, logits: torch.Tensor) -> TermInputs:
        target = self._feed.target_at(self.step)
        return TermInputs(
            step=self.step,
            steps=self.plan.steps,
            features=batch.features,
            logits=logits,
            labels=batch.labels,
            parameters={
                slot.name: slot.parameter
                for slot in self._slots
                if slot.parameter.requires_grad and not slot.name.startswith(optimizer.COMPANION)
            },
            start=self._start,
            support=self._feed.support,
            target_features=target.features if target else None,
            target_logits=self.classifier.head(target.features) if target else None,
            teacher=batch.teacher,
            target_teacher=target.teacher if target else None,
        )

    # ---- stopping and going on ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a run needs to go on from here: tensors (not copied) and plain numbers."""
        return {
            "step": self.step,
            "origin": self._origin,
            "plan": self._plan_digest,
            "classifier": self.classifier.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": dict(self._average),
            "companions": self._companions.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state. Raises TrialError where it belongs to another start or another plan."""
        if state["origin"] != self._origin:
            raise TrialError("the checkpoint belongs to other starting weights")
        if state.get("plan") != self._plan_digest:
            raise TrialError("the checkpoint belongs to another plan")
        try:
            self.classifier.load_state_dict(state["classifier"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._companions.load_state_dict(state.get("companions", {}))
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrialError(f"the checkpoint does not fit this plan ({error})") from error
        self._average = {name: value.to(self._device, copy=True) for name, value in state["average"].items()}
        self.step = int(state["step"])
        self._phase = -1

    def finish(self, numbers: Mapping[str, float] | None = None) -> Classifier:
        """Write the final weights into the classifier: the moving average, then the plan's `finish`. Training ends.

        `numbers` override the plan's. It may be called again with others, and then starts from the tuned weights again.
        """
        if not self._tuned:
            if self._average:
                weight_ops.put(self._average, self.classifier)
            self._adapters.take_out(self.classifier.body)
            self._tuned = weight_ops.copy(self.classifier)
        weights = self._tuned
        if self.plan.finish is not None:
            weights = loss_terms.finish(self.plan.finish, self._start, self._tuned, numbers or {})
        weight_ops.put(weights, self.classifier)
        self.classifier.eval()
        return self.classifier


def _slots(classifier: Classifier, companions: torch.nn.Module, added: adapters.Adapters) -> tuple[optimizer.Slot, ...]:
    return optimizer.slots(classifier.backbone, classifier.body, classifier.head, companions, added.parameters)


def _placed(classifier: Classifier, device: torch.device, layout: str, group: ProcessGroup) -> Classifier:
    synchronise(classifier, group, device)
    classifier.to(device)
    classifier.to(memory_format=normalise.memory_format(layout))
    return classifier


def _runnable(plan: TrainPlan, data: TrainData, classifier: Classifier) -> TrainPlan:
    images, stages = len(data.rows), [stage.name for stage in classifier.backbone.stages]
    stray = sorted({name for phase in plan.phases for name in phase.rates}.difference(stages))
    if stray:
        raise TrialError(f'the plan trains stage "{stray[0]}", and the network has {", ".join(stages)}')
    if data.answers is None and loss_terms.needs_teacher(plan.terms):
        raise TrialError("this plan learns from a teacher and none is given:", hint="use `tl-advise distill RUN`.")
    if not plan.phases or plan.steps < 1 or not images:
        raise TrialError(f"nothing to train: {len(plan.phases)} phases, {plan.steps} steps, {images} images")
    return replace(plan, phases=tuple(sorted(plan.phases, key=lambda phase: phase.start)))


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what the network draws itself (dropout, stochastic depth), and leave the generators as they were."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        # Not torch.manual_seed on a CPU: it would queue a seed, with a traceback, for every device that is not there.
        (torch.manual_seed if on_gpu else torch.default_generator.manual_seed)(seed)
        yield


@contextmanager
def _memory_handled(device: torch.device, batch: int) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemoryError(f"out of memory on {device} with {batch} images per step") from error
