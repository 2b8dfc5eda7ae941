"""How long arms of a comparison may be in a given time: a few steps of each are timed, and all get equal epochs.

In: a session, arm names, epochs that are wanted, seconds. Out: epochs, at most those. Does NOT cover: stopping (`comparison`
does, where the prediction was wrong), reproducible lengths (say --epochs without a budget).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from advisor.errors import InputError
from advisor.execution import trainer
from advisor.workflows import comparison
from advisor.workflows.session import Session

TIMED = 6  # steps of each arm, of which the first warms up
SHARE = 0.8  # of the time: the rest is for what is measured at the end of each arm
LOOKED_AT = 128  # images on which the speed of looking is timed
SHORTEST = 0.2  # epochs


def epochs_within(
    session: Session, names: Sequence[str], *, epochs: float, batch: int, seconds: float, seed: int = 0
) -> float:
    """Give the epochs, at most `epochs`, that all arms together can have in so many seconds.

    Raises InputError where not even a fifth of an epoch fits.
    """
    began = time.monotonic()
    rows, held_out = session.resources.folds()[0]
    looked = min(comparison.WATCHED, len(rows)) + len(held_out)
    training_s = looking_s = 0.0
    for name in names:
        chosen, plan = comparison.planned(session, name, rows, epochs, batch)
        network = trainer.classifier_for(session.resources, chosen, plan, rows, seed)
        loop = trainer.train_loop(session.resources, chosen, plan, network, rows, seed)
        taken = [step.seconds for step in loop.run(until=TIMED)]
        training_s += statistics.median(taken[1:] or taken) * plan.steps
        few = held_out[:LOOKED_AT]
        before = time.monotonic()
        trainer.score_rows(session.resources, chosen, plan, network, few)
        each = (time.monotonic() - before) / len(few)
        looking_s += each * (
            looked * (len(comparison.stops(plan.steps)) + 1) + (comparison.DRAWS + 1) * comparison.WATCHED
        )
    left = SHARE * (seconds - (time.monotonic() - began)) - looking_s
    found = min(epochs, epochs * left / training_s)
    if found < SHORTEST:
        needed = looking_s + SHORTEST / epochs * training_s
        raise InputError(
            f"--budget: {len(names)} arms need about {needed / SHARE:.0f} s here.",
            hint="Give more, or take a smaller --size.",
        )
    return found
