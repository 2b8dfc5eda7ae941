"""The length of a comparison's arms under a time budget: time a few steps of each, then give all of them equal epochs.

In: a session, arm names, the requested epochs, seconds. Out: the affordable epochs, at most those requested. Does NOT
cover: stopping arms whose time was underestimated (`comparison_arm`), reproducible lengths (`--epochs` without a budget).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from advisor.errors import InputError
from advisor.execution import trainer
from advisor.workflows import comparison, comparison_arm
from advisor.workflows.session import Session

TIMED = 6  # steps of each arm, of which the first warms up
TRAINING_SHARE = 0.8  # of the time; the rest covers the measurements at the end of each arm
TIMED_IMAGES = 128  # on which the speed of evaluation is timed
FEWEST_EPOCHS = 0.2


def epochs_within(
    session: Session, names: Sequence[str], *, epochs: float, batch: int, seconds: float, seed: int = 0
) -> float:
    """Return the epochs, at most `epochs`, that every arm can train if all arms together take `seconds`.

    Raises InputError if not even a fifth of an epoch fits.
    """
    began = time.monotonic()
    rows, held_out = session.resources.folds()[0]
    evaluated_images = min(comparison_arm.WATCHED, len(rows)) + len(held_out)
    training_s = evaluation_s = 0.0
    for name in names:
        candidate, plan = comparison.planned(session, name, rows, epochs, batch)
        network = trainer.classifier_for(session.resources, candidate, plan, rows, seed)
        loop = trainer.train_loop(session.resources, candidate, plan, network, rows, seed)
        timed = [step.seconds for step in loop.run(until=TIMED)]
        training_s += statistics.median(timed[1:] or timed) * plan.steps
        few = held_out[:TIMED_IMAGES]
        scoring_began = time.monotonic()
        trainer.score_rows(session.resources, candidate, plan, network, few)
        image_s = (time.monotonic() - scoring_began) / len(few)
        evaluation_s += image_s * (
            evaluated_images * (len(comparison_arm.stops(plan.steps)) + 1)
            + (comparison_arm.DRAWS + 1) * comparison_arm.WATCHED
        )
    left_s = TRAINING_SHARE * (seconds - (time.monotonic() - began)) - evaluation_s
    affordable_epochs = min(epochs, epochs * left_s / training_s)
    if affordable_epochs < FEWEST_EPOCHS:
        needed = evaluation_s + FEWEST_EPOCHS / epochs * training_s
        raise InputError(
            f"--budget: {len(names)} arms need about {needed / TRAINING_SHARE:.0f} s here.",
            hint="Give a larger --budget or a smaller --size.",
        )
    return affordable_epochs
