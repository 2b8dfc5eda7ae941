"""The worker process: it holds device, networks and caches, runs one job after another, and ends with its coordinator.

Started as `python -m advisor.execution.worker_main FD`: the file descriptor is one end of a socket pair over which pickled
records go (jobs in, progress and answers out; both ends are this program). A thread reads, so that the coordinator's end is
noticed within a moment even in the middle of a training step. Does NOT cover: deciding what to run (`tuning`).
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from advisor import plugin_guard
from advisor.errors import (
    AdviseError,
    BackboneError,
    OutOfMemoryError,
    OutputError,
    StrategyError,
    TrialError,
    is_out_of_memory,
    one_line,
)
from advisor.records import Trial
from advisor.records.insight_messages import (
    Explain,
    IndexTraining,
    Insight,
    InsightMeasured,
    MapFeatures,
    MeasureTrainedCurve,
)
from advisor.records.messages import (
    Answer,
    DatasetOpened,
    Describe,
    Description,
    ForgettingMeasured,
    GraphMeasured,
    Job,
    MeasureForgetting,
    MeasureGraph,
    OpenDataset,
    Probe,
    Probed,
    Progress,
    Refit,
    Refitted,
    RunTrial,
    Score,
    Scored,
    StepTime,
    TimeSteps,
)
from advisor.runtime.atomic_file import takes_nothing
from advisor.runtime.process import standard_streams


def main(descriptor: int) -> None:
    """Serve jobs until the coordinator closes its end."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the coordinator decides what it means
    standard_streams.prepare()  # worker.log lies on the disk that may be full
    connection: Connection[Any, Any] = Connection(descriptor)
    jobs: queue.Queue[Job] = queue.Queue()
    threading.Thread(target=_read, args=(connection, jobs), daemon=True).start()
    from advisor.runtime import lean_imports
    from advisor.runtime.process import collector

    with collector.paused():
        import torch  # noqa: F401 (the slowest import, done while the coordinator still reads the folder)

    lean_imports.stand_in_for_compiler()
    runner = JobRunner(connection)
    while True:
        job = jobs.get()
        try:
            reply: Answer | BaseException = runner.run(job)
        except AdviseError as error:
            if isinstance(error, BackboneError | StrategyError):
                traceback.print_exc()  # for the author of the plugin
            reply = error
        except BaseException as error:
            traceback.print_exc()
            reply = runner.failure(job, error)
        _send(connection, reply)


def _send(connection: Connection[Any, Any], reply: Answer | BaseException) -> None:
    try:
        connection.send(reply)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        # A third-party plan may hold what cannot travel; that costs the job, not the process.
        connection.send(AdviseError(f"{type(reply).__name__} cannot be sent: {error}"))


def _read(connection: Connection[Any, Any], jobs: queue.Queue[Job]) -> None:
    try:
        while True:
            jobs.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)  # the coordinator is gone: nothing that this process could still say would be heard


class JobRunner:
    """Runs jobs; keeps the opened data set's resources between them."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection
        self.resources: Any = None

    def run(self, job: Job) -> Answer:
        """Run one job and return its answer. Raises OutputError where the disk takes nothing more."""
        try:
            return self._run(job)
        except OSError as error:
            if not takes_nothing(error):
                raise
            path = error.filename or self.resources.job.run_dir
            raise OutputError(f"{path}: cannot be written ({error.strerror}).", hint="Free some space.") from error

    def _run(self, job: Job) -> Answer:
        """Run one job. torch is imported here, by the first job, and not before."""
        if isinstance(job, OpenDataset):
            return self._open(job)
        if isinstance(job, Describe):
            return self._describe(job)
        if isinstance(job, Insight):
            return self._measure_insight(job)
        if isinstance(job, MeasureGraph):
            return self._measure_graph(job)
        return self._train(job)

    def progress(self, record: Progress) -> None:
        """Send how far the job is."""
        self.connection.send(record)

    def failure(self, job: Job, error: BaseException) -> AdviseError:
        """Return what a job's unexpected exception means: of a first look at a network, that the network is at fault.

        A refit costs its candidate. Short memory and what the system refuses are nobody's fault.
        """
        what = f"{type(error).__name__}: {one_line(error)}"
        if isinstance(job, Describe | Probe) and self.resources is not None:
            if is_out_of_memory(error):
                return OutOfMemoryError(f"{job.backbone}: out of memory ({what})")
            if not isinstance(error, OSError):
                plugin = str(self.resources.registry.plugin(job.backbone))
                return plugin_guard.backbone_error(job.backbone, plugin, what)
        if isinstance(job, Refit) and not isinstance(error, OSError):
            short = is_out_of_memory(error)
            return OutOfMemoryError(f"out of memory ({what})") if short else TrialError(f"training failed: {what}")
        return AdviseError(f"{type(job).__name__} failed: {what}")

    def _open(self, job: OpenDataset) -> DatasetOpened:
        from advisor import registry
        from advisor.execution.resources import Resources
        from advisor.runtime import device, environment

        compute = device.choose(job.device, None, job.workers)
        device.check_together(job.device, job.devices)
        if job.threads is not None:
            compute = replace(compute, threads=job.threads)
        device.apply(compute)
        plugins = registry.load(block=job.plugins_blocked).at_revisions(job.revisions)
        self.resources = Resources(
            job, plugins, lambda what, done, total: self.progress(Progress(what=what, done=done, total=total))
        )
        return DatasetOpened(environment=environment.describe(compute))

    def _describe(self, job: Describe) -> Description:
        backbone = self.resources.registry.backbone(job.backbone)
        stages = self.resources.stage_sizes(backbone)
        _, digest, warning = self.resources.tensors(backbone)
        return Description(
            backbone=backbone.name,
            stages=stages,
            dim=backbone.dim,
            has_norm=any(s.has_norm for s in stages),
            preprocess=backbone.preprocess,
            weights_sha256=digest,
            warning=warning,
        )

    def _measure_insight(self, job: Insight) -> InsightMeasured:
        from advisor.execution.insight import (
            explanation,
            feature_map,
            learning_curve,
            trained_curve,
            training_index,
        )

        if isinstance(job, MeasureTrainedCurve):
            return trained_curve.measure(self.resources, job, self.progress)
        if isinstance(job, IndexTraining):
            return training_index.build(self.resources, job, self.progress)
        if isinstance(job, MapFeatures):
            return feature_map.measure(self.resources, job)
        if isinstance(job, Explain):
            return explanation.explain(self.resources, job, self.progress)
        return learning_curve.measure(self.resources, job)

    def _train(
        self, job: Probe | RunTrial | TimeSteps | Refit | Score | MeasureForgetting
    ) -> Probed | Trial | StepTime | Refitted | Scored | ForgettingMeasured:
        from advisor.execution import probe, test_scoring, timing
        from advisor.execution.elastic import launch

        if isinstance(job, MeasureForgetting):
            from advisor.execution.insight import forgetting

            return forgetting.measure(self.resources, job)
        if isinstance(job, Probe):
            return probe.probe(self.resources, job)
        if isinstance(job, RunTrial):
            return launch.run_trial(self.resources, job, self.progress)
        if isinstance(job, TimeSteps):
            return timing.time_steps(self.resources, job)
        if isinstance(job, Refit):
            return launch.run_refit(self.resources, job, self.progress)
        return test_scoring.score(self.resources, job, self.progress)

    def _measure_graph(self, job: MeasureGraph) -> GraphMeasured:
        from advisor.exporting import latency

        if job.folder:
            return GraphMeasured(cost=latency.of_run(Path(job.folder), self.resources.registry))
        backbone = self.resources.registry.backbone(job.backbone)
        return GraphMeasured(cost=latency.of_backbone(backbone, job.size_px, self.resources.classes))


if __name__ == "__main__":
    main(int(sys.argv[1]))
