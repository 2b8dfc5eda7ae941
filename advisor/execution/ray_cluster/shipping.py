"""What travels between coordinator and actors: the opened data set, pixels, weights, checkpoints, and what trials leave.

In: the run's data set and registry. Out: jobs with what a node may lack. Pixels are decoded once, here, and kept in Ray's
object store, one copy on a node; Ray cuts them up on their way. The locked test is no part of any of it.
Does NOT cover: who gets which job (`executor`).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor.data import pixels
from advisor.errors import InputError
from advisor.execution.ray_cluster import connect, environment
from advisor.execution.ray_cluster.actor import SharedPixels, SharedWeights, ShippedJob, ShippedTrial
from advisor.hooks import Backbone
from advisor.models import pretrained_weights
from advisor.records import Dataset, Settings
from advisor.records.messages import OpenDataset, RunTrial
from advisor.registry import Registry
from advisor.runtime import atomic_file, cache
from advisor.runtime.run_dir import trial_name


class Shipping:
    """Packs jobs and unpacks trials for one run."""

    def __init__(self, ray: Any, job: OpenDataset, data_set: Dataset, settings: Settings, registry: Registry) -> None:
        self.ray = ray
        self.job = job
        self.registry = registry
        self.environment = environment.describe(settings.plugins_blocked)
        self.on_nodes = settings.data_on_nodes
        shipped = replace(job, root="", workers=1, weights_dir=None)
        self.opening = (ray.put(shipped), self.on_nodes, settings.test_split, settings.reading, data_set.fingerprint)
        self._pixels: dict[pixels.PixelRule, SharedPixels] = {}
        self._weights: dict[str, SharedWeights] = {}

    def ship(self, job: RunTrial, rule: pixels.PixelRule | None = None) -> ShippedJob:
        """Return a job with its weights, and its pixels by `rule`, by default the one that its parameters name.

        Raises InputError where the pixels do not fit into a node.
        """
        backbone = self.registry.backbone(job.candidate.backbone)
        size_px = job.candidate.size_px or backbone.preprocess.size
        preprocess = replace(backbone.preprocess, value_range=self.job.value_range)
        usual = pixels.rule_for(preprocess, size_px, job.candidate.parameters.get("fit", "crop"))
        return ShippedJob(
            job=job,
            pixels=None if self.on_nodes else self._pixels_for(rule or usual),
            weights=self._weights_for(backbone),
            files=self._paused(job),
        )

    def receive(self, shipped: ShippedTrial) -> None:
        """Write what a trial left into the run directory, each file whole or not at all."""
        for name, content in shipped.files.items():
            path = Path(self.job.run_dir) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_file.write_atomically(path, content)

    def _pixels_for(self, rule: pixels.PixelRule) -> SharedPixels:
        if rule not in self._pixels:
            array, unreadable = pixels.canvas(self.job.root, self.job.items, rule, store=cache.Store())
            room = connect.STORE_SHARE * connect.offer(self.ray).store_bytes
            if array.nbytes > room:
                raise InputError(
                    f"--ray: the decoded images take {array.nbytes / 1e9:.1f} GB at {rule.side_px} px, and the smallest "
                    f"node's object store has room for {room / 1e9:.1f} GB.",
                    hint="Copy the data set to the nodes and name it with --data-on-nodes PATH, or give Ray more memory "
                    "(`ray start --object-store-memory`).",
                )
            self._pixels[rule] = SharedPixels(rule=rule, array=[self.ray.put(array)], unreadable=unreadable)
        return self._pixels[rule]

    def _weights_for(self, backbone: Backbone) -> SharedWeights:
        if backbone.name not in self._weights:
            located = pretrained_weights.locate(backbone, weights_dir=self.job.weights_dir, offline=True)
            path = located.path if located.state in ("built_in", "cached") else None
            content = path.read_bytes() if path is not None else b""
            self._weights[backbone.name] = SharedWeights(
                backbone=backbone.name,
                file=path.name if path is not None else "",
                sha256=hashlib.sha256(content).hexdigest() if content else "",
                content=[self.ray.put(content)] if located.state == "cached" else [],
            )
        return self._weights[backbone.name]

    def _paused(self, job: RunTrial) -> dict[str, bytes]:
        """Read the checkpoint of the trial that this one continues; without it the trial begins at step 0."""
        names = [trial_name(job.number, job.repeat)]
        if job.candidate.continues is not None and not job.repeat:
            names.append(trial_name(job.candidate.continues, 0))
        paths = [Path(self.job.run_dir) / "trials" / f"{name}.ckpt" for name in names]
        return {f"trials/{path.name}": path.read_bytes() for path in paths if path.is_file()}
