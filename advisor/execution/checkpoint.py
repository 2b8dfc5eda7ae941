"""A trial's state on disk at its last rung, from which a killed trial goes on: written whole or not at all.

In: the loop's state and what earlier folds gave. Out: the same, after a kill. Plain tensors and numbers only, so that
reading one runs no code. A full disk, a damaged file or a state that does not fit the training as it begins now (after a
resume with other threads, on another device or machine, or of another plan) costs the chance to go on, never the trial itself.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from advisor.errors import TrialError, one_line
from advisor.records import Curve, TrainPlan
from advisor.runtime import atomic_file, json_records
from advisor.training.loop import Loop


@dataclass(frozen=True, kw_only=True)
class FoldOutcome:
    """What training on one fold gave: validation rows (n,), logits (n, K), and the way there."""

    rows: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    curve: Curve
    fitted: dict[str, float] = field(default_factory=dict)  # numbers of the plan's finish, chosen on these rows
    stopped_at: int | None = None  # the rung, in percent of the steps, at which it was stopped


class Checkpoint:
    """A trial's state on disk at its last rung: written whole or not at all, read as plain tensors and numbers."""

    def __init__(self, path: Path, *, writes: bool = True, of: Path | None = None) -> None:
        """Read what is there; where nothing is, what the paused trial `of` left: its promotion goes on from that.

        A file that cannot be read counts as missing.
        """
        if of is not None and not path.exists() and of.is_file():
            of.replace(path)  # from now on a kill finds it under the promotion's own name
        self.path = path
        self.writes = writes  # of several processes that train together, one does
        self.state: dict[str, Any] = {}
        if path.is_file():
            self.state = _read(path)

    def outcome(self, position: int, plan: TrainPlan) -> FoldOutcome | None:
        """Return what training by this plan gave on the fold at this position, None where it did not end."""
        done = self.state.get("folds", {}).get(position)
        if done is None or done.get("plan") != json_records.digest(plan):
            return None
        return FoldOutcome(
            rows=done["rows"].numpy(), logits=done["logits"].numpy(), curve=_curve(done["curve"]), fitted=done["fitted"]
        )

    def restore(self, position: int, loop: Loop) -> tuple[Curve, int] | None:
        """Restore the loop's last saved state; return its curve so far and the number of rungs behind it.

        Returns None where the state does not fit, and forgets it: the loop may be half restored and is not to be used.
        """
        if self.state.get("position") != position:
            return Curve(), 0
        try:
            loop.load_state_dict(self.state["loop"])
            return _curve(self.state["curve"]), int(self.state["rung"])
        except (TrialError, KeyError, TypeError, ValueError, AttributeError) as error:
            _log(self.path, error)
            self.state = {**self.state, "position": None, "loop": None}
            return None

    def write(self, position: int, rung: int, loop: Loop, curve: Curve) -> None:
        """Write the loop's state at a rung."""
        self._save(position=position, rung=rung, loop=loop.state_dict(), curve=_plain(curve))

    def finish_fold(self, position: int, plan: TrainPlan, outcome: FoldOutcome) -> None:
        """Write a fold's outcome; a paused one leaves its last rung as it is."""
        folds = dict(self.state.get("folds", {}))
        folds[position] = {
            "plan": json_records.digest(plan),
            "rows": torch.from_numpy(outcome.rows),
            "logits": torch.from_numpy(outcome.logits),
            "curve": _plain(outcome.curve),
            "fitted": dict(outcome.fitted),
        }
        if outcome.stopped_at is None:
            self._save(folds=folds, position=None, loop=None)

    def _save(self, **changed: Any) -> None:
        self.state = {**self.state, **changed}
        if not self.writes:
            return
        # A full disk costs the chance to go on from here after a kill, never the trial itself.
        with contextlib.suppress(OSError, RuntimeError), atomic_file.replacing(self.path) as temporary:
            torch.save(self.state, temporary)

    def remove(self) -> None:
        """Delete the file: the trial has ended."""
        if self.writes:
            self.path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"a {type(state).__name__}, expected a dict")
    except MemoryError:
        raise
    except Exception as error:  # what a damaged file raises depends on the byte: of pickle, zipfile, struct, torch
        _log(path, error)
        return {}
    return state


def _log(path: Path, error: Exception) -> None:
    reason = f"{type(error).__name__}: {one_line(error)}"
    print(f"{path.name}: not used, trained again from step 0 ({reason})", file=sys.stderr, flush=True)


def _plain(curve: Curve) -> dict[str, list[float]]:
    return {name: list(getattr(curve, name)) for name in ("step", "train_loss", "log_loss", "accuracy", "objective")}


def _curve(plain: dict[str, list[float]]) -> Curve:
    return Curve(
        step=tuple(int(s) for s in plain["step"]),
        train_loss=tuple(plain["train_loss"]),
        log_loss=tuple(plain["log_loss"]),
        accuracy=tuple(plain["accuracy"]),
        objective=tuple(plain.get("objective", ())),
    )
