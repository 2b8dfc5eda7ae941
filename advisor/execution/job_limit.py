"""A job's limit in seconds -> when its worker gives it up, and when the coordinator ends a worker that did not.

The second must come after the first for every limit: what a worker gives up itself leaves the folds that it has finished,
what is killed leaves nothing. Does NOT cover: how a limit is chosen (`tuning`), what a training is seen to need (`timing`).
"""

from __future__ import annotations

# Of a limit, by which it may be overrun: a training that is all but done is worth more than seconds of the reserve that is
# kept for the end, and giving it up late would waste all of it.
LENIENT = 0.08
GRACE_S = 5.0  # behind that, before a worker that does not answer is ended


def given_up_after_s(limit_s: float) -> float:
    """Return the seconds after which a worker gives up a job of this limit."""
    return (1 + LENIENT) * limit_s


def ended_after_s(limit_s: float) -> float:
    """Return the seconds after which the coordinator ends the worker that has a job of this limit."""
    return given_up_after_s(limit_s) + GRACE_S


def limit_within_s(rest_s: float) -> float:
    """Return the limit of a job that is ended after `rest_s` seconds, at least a second."""
    return max(1.0, (rest_s - GRACE_S) / (1 + LENIENT))
