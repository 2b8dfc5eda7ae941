"""A worker on some node of a Ray cluster: opens the data set, runs one trial after another, sends back what each left.

In: the opened data set without its files; with each job its pixels and weights, where the node lacks them. Out: the trial,
and the files that it wrote. The class knows nothing of Ray but how to read what lies in its object store; what a trial does is
the same code as in a local worker. Does NOT cover: who gets which job (`executor`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.errors import AdviseError, InputError, WeightsError
from advisor.records import Trial, Unreadable
from advisor.records.messages import OpenDataset, Progress, RunTrial

if TYPE_CHECKING:
    from advisor.data.pixels import PixelRule
    from advisor.execution.resources import Resources
    from advisor.records.data import ReadOptions


NODE = "node"  # beside the versions in what an actor says about its node


@dataclass(frozen=True, kw_only=True)
class SharedPixels:
    """Decoded pixels (N, S, S, 3) in the object store: one copy on a node, whichever actors read it."""

    rule: PixelRule
    array: Any  # a list of one ObjectRef: what stands in a list is not fetched before it is asked for
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True, kw_only=True)
class SharedWeights:
    """A pretrained file as the coordinator has it: its name, its SHA-256, and its bytes in the object store."""

    backbone: str
    file: str
    sha256: str
    content: Any  # a list of one ObjectRef, or of none where every node carries the file in its own packages


@dataclass(frozen=True, kw_only=True)
class ShippedJob:
    """A job with what a node may lack. `files` are those of the paused trial that it continues, by name."""

    job: RunTrial
    pixels: SharedPixels | None
    weights: SharedWeights
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ShippedTrial:
    """A trial that ended, and the files that it left below `trials/`, by relative name."""

    trial: Trial
    files: Mapping[str, bytes]


class TrialActor:
    """One device of one node. Caches (networks, features, start heads) stay between trials."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tl-advise-actor-"))
        (self.folder / "trials").mkdir()
        (self.folder / "weights").mkdir()
        self.resources: Resources | None = None

    def open(
        self, job: OpenDataset, data: str, test_split: str, reading: ReadOptions, fingerprint: str
    ) -> dict[str, str]:
        """Open the data set and return this node's address and environment.

        `data`: where its files lie here, "" for nowhere. Raises InputError where those are other files than the coordinator's.
        """
        from advisor import registry
        from advisor.execution.ray_cluster import environment
        from advisor.runtime import device

        root = _root(data, test_split, reading, fingerprint) if data else ""
        weights = job.weights_dir or str(self.folder / "weights")
        job = replace(job, root=root, run_dir=str(self.folder), weights_dir=weights, offline=True)
        compute = device.choose(job.device, None, 1)
        device.apply(compute if job.threads is None else replace(compute, threads=job.threads))
        self.resources = _resources(job, registry.load(block=job.plugins_blocked))
        return {NODE: _address(), **environment.describe(job.plugins_blocked)}

    def run(self, shipped: ShippedJob) -> ShippedTrial | PixelRule:
        """Run one job to its end, or return the rule of the pixels that it needs and that were not sent.

        Raises AdviseError where this node cannot run it at all.
        """
        from advisor.execution.elastic import launch

        assert self.resources is not None
        if shipped.pixels is not None:
            self._take_pixels(shipped.pixels)
        self._take_weights(shipped.weights)
        for name, content in shipped.files.items():
            (self.folder / name).write_bytes(content)
        missing = self._missing_rule(shipped.job)
        if missing is not None:
            return missing
        trial = launch.run_trial(self.resources, shipped.job, _drop)
        return ShippedTrial(trial=trial, files=self._collect(shipped.job))

    def _missing_rule(self, job: RunTrial) -> PixelRule | None:
        """Return the rule of the pixels that a job's plan needs, None where they are available."""
        assert self.resources is not None
        backbone = self.resources.registry.backbone(job.candidate.backbone)
        try:
            plan = self.resources.plan(job.candidate, self.resources.folds(job.repeat)[job.folds[0]][0])
        except AdviseError:
            return None  # the trial meets it as well, and records it
        rule = self.resources.rule(backbone, job.candidate.size_px or backbone.preprocess.size, plan.fit)
        return None if self.resources.job.root or rule in self.resources.decoded else rule

    def _take_pixels(self, pixels: SharedPixels) -> None:
        import ray

        assert self.resources is not None
        if pixels.rule not in self.resources.decoded:
            array = ray.get(pixels.array[0])  # mapped from the node's object store, not copied
            self.resources.add_decoded(pixels.rule, array, pixels.unreadable)

    def _take_weights(self, weights: SharedWeights) -> None:
        """Write the coordinator's file where this node has none, and compare. Raises WeightsError where they differ."""
        import ray

        from advisor.models import pretrained_weights

        assert self.resources is not None
        backbone = self.resources.registry.backbone(weights.backbone)
        if not weights.sha256:
            return
        located = pretrained_weights.locate(backbone, weights_dir=self.resources.job.weights_dir, offline=True)
        if located.state not in ("built_in", "cached") and weights.content:
            target = Path(str(self.resources.job.weights_dir)) / weights.file
            waiting = target.with_suffix(f".{os.getpid()}")
            waiting.write_bytes(ray.get(weights.content[0]))
            waiting.replace(target)
        digest = self.resources.tensors(backbone)[1]
        if digest != weights.sha256:
            raise WeightsError(f"{weights.backbone}: other weights here ({digest[:12]}) than the coordinator's.")

    def _collect(self, job: RunTrial) -> dict[str, bytes]:
        """Read what the trial left, and delete it here."""
        from advisor.runtime.run_dir import trial_name

        name = trial_name(job.number, job.repeat)
        files: dict[str, bytes] = {}
        for path in [*(self.folder / "trials").glob(f"{name}.*"), self.folder / "trials" / name]:
            each = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path] * path.is_file()
            files |= {str(p.relative_to(self.folder)): p.read_bytes() for p in each}
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return files


def _root(data: str, test_split: str, reading: ReadOptions, fingerprint: str) -> str:
    """Return the folder of the data set on this node. Raises InputError where it is missing or another one."""
    from advisor.data import dataset

    try:
        data_set = dataset.read(data, test_split=test_split, options=reading)
    except InputError as error:
        raise InputError(f"node {_address()}: {error.what}", hint="Correct --data-on-nodes.") from error
    if data_set.fingerprint != fingerprint:
        raise InputError(
            f"node {_address()}: {data}: other files than the coordinator's (fingerprint {data_set.fingerprint[:12]}).",
            hint="Copy the coordinator's data set there.",
        )
    return data_set.root


def _address() -> str:
    """Return the address of the node that this process runs on."""
    import ray

    return str(ray.util.get_node_ip_address())


def _resources(job: OpenDataset, plugins: Any) -> Resources:
    from advisor.execution.resources import Resources

    return Resources(job, plugins, lambda what, done, total: None)


def _drop(progress: Progress) -> None:
    """Drop progress: several trials run at the same time, and the coordinator shows their ends."""


def outcome(error: BaseException) -> AdviseError | None:
    """Return the error that a trial itself raised inside a Ray error, None where it was the actor that died."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, AdviseError):
        return cause
    return error if isinstance(error, AdviseError) else None
