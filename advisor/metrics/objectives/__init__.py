"""Scores that a search can be decided by, each in a file of its own behind one interface: `make(spec)` returns one."""

from advisor.metrics.objectives.base import Objective, item_losses, loss, score, value
from advisor.metrics.objectives.table import make

__all__ = ["Objective", "item_losses", "loss", "make", "score", "value"]
