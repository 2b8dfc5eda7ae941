"""Workers whose trials sleep and then end with a made-up score: what the machinery costs, without any training.

Used by tests and by benchmarks/scale. A sleeper speaks the worker's own protocol.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advisor.execution.executor import Ended, TrialExecutor
from advisor.execution.worker import Worker
from advisor.hooks import Context
from advisor.records import Candidate, FoldScore, Trial
from advisor.records.messages import RunTrial
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.trials.study import Study

IMAGES, CLASSES = 40, 3


class Sleeper(Worker):
    """A worker that sleeps in place of training. `folder` is where it leaves validation logits, None for none."""

    def __init__(self, seconds: float | Callable[[int], float], folder: Path | None = None) -> None:
        super().__init__()
        self.seconds = seconds
        self.folder = folder
        self._connect()

    def _connect(self) -> None:
        self.connection, self._far = multiprocessing.Pipe()  # type: ignore[assignment]

    def post(self, job: Any) -> None:
        """Take a job and answer when its time is over."""
        far = self._far
        seconds = self.seconds(job.number) if callable(self.seconds) else self.seconds
        timer = threading.Timer(seconds, lambda: self._end(far, job))
        timer.daemon = True
        timer.start()

    def _end(self, far: Any, job: RunTrial) -> None:
        trial = scored(job)
        if self.folder is not None:
            name = f"trials/{job.number:05d}.npz"
            draw = np.random.default_rng(job.number)
            logits = draw.normal(size=(IMAGES, CLASSES)).astype(np.float32)
            np.savez(self.folder / name, rows=np.arange(IMAGES), logits=logits, labels=np.arange(IMAGES) % CLASSES)
            trial = scored(job, predictions=name)
        try:
            far.send(trial)
        except OSError:
            return  # stopped meanwhile

    def stop(self) -> None:
        """Forget the job; a later one finds a fresh connection."""
        if self.connection is not None:
            self.connection.close()
            self._connect()


def scored(job: RunTrial, predictions: str = "") -> Trial:
    """Score a job by what it asks for: the same candidate always gets the same loss."""
    digest = hashlib.sha256(repr(sorted(job.candidate.parameters.items())).encode()).digest()
    loss = abs(float(job.candidate.parameters.get("rate", 0.5)) - 0.3) + digest[0] / 2560
    score = FoldScore(fold=0, repeat=0, seed=0, n=IMAGES, accuracy=0.5, log_loss=loss)
    return Trial(
        number=job.number,
        candidate=job.candidate,
        regime="full",
        state="complete",
        scores=(score,),
        predictions=predictions,
    )


class Rates:
    """A strategy with three numbers to choose."""

    name = "full"
    regime = "full"
    card = "for measurements"

    def applies(self, context: Context) -> str | None:
        """Always."""
        return None

    def space(self, trial: Any, context: Context) -> Mapping[str, Any]:
        """Draw a rate, a depth and a schedule."""
        return {
            "rate": trial.suggest_float("rate", 1e-3, 1.0, log=True),
            "depth": trial.suggest_int("depth", 1, 8),
            "schedule": trial.suggest_categorical("schedule", ["cosine", "step"]),
        }


def context(name: str, size_px: int) -> Context:
    """Give a context that nothing here looks at."""
    return Context(images=10, classes=2, class_counts=(5, 5), stages=(), has_norm=False, dim=4)


def search(
    study: Study,
    executor: TrialExecutor,
    trials: int,
    *,
    on_end: Callable[[Ended], None] = lambda ended: None,
    sample: bool = True,
) -> None:
    """Run so many sampled trials on an executor, as search.explore does: begun as it gets free, written down as they end."""
    while True:
        while executor.free and study.counted < trials:
            if sample:
                candidate = study.sample([BackboneAtSize("pocket", 64)], {"full": Rates()}, context)
            else:
                candidate = Candidate(backbone="pocket", strategy="full", parameters={"rate": study.counted / trials})
            number = study.begin(candidate)
            executor.submit(RunTrial(number=number, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0))
        if not executor.busy and study.counted >= trials:
            return
        ended = executor.poll(lambda progress: None)
        if ended is not None:
            study.finish(ended.outcome if isinstance(ended.outcome, Trial) else failed(ended))
            on_end(ended)


def failed(ended: Ended) -> Trial:
    """Record a job that ended without a trial."""
    return Trial(
        number=ended.job.number,
        candidate=ended.job.candidate,
        regime="full",
        state="failed",
        error=str(ended.outcome),
    )
