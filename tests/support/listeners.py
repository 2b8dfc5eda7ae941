"""Listeners that do something to a run while it goes on."""

from __future__ import annotations

from collections.abc import Callable

from advisor.runtime.progress import Listener


class AtStage(Listener):
    """Does something when a stage begins."""

    def __init__(self, stage: str, action: Callable[[], object]) -> None:
        self.when, self.action = stage, action

    def stage(self, text: str) -> None:
        """Act at the stage."""
        if self.when in text:
            self.action()
