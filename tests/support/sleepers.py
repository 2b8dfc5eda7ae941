"""Trials that end with a made-up score: what the machinery of a search costs, without any training.

Used by tests and by benchmarks/scale, whose actors sleep for as long as a trial is to take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from advisor.execution.executor import Ended, TrialExecutor
from advisor.hooks import Context
from advisor.records import FoldScore, Trial
from advisor.records.messages import RunTrial
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.trials.study import Study

IMAGES = 40


def scored(job: RunTrial) -> Trial:
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
) -> None:
    """Run so many sampled trials on an executor, as search.explore does: begun as it gets free, written down as they end."""
    while True:
        while executor.free and study.counted < trials:
            candidate = study.sample([BackboneAtSize("pocket", 64)], {"full": Rates()}, context)
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
