"""What was tried and what came of it: candidates, trials with their scores, the regime with its evidence, the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measured signal beside what it is compared with, on the same `n` images. `p` is two-sided, None if not tested."""

    signal: str
    value: float
    reference: float
    n: int
    p: float | None = None


@dataclass(frozen=True, kw_only=True)
class Regime:
    """How deep to train: "feature_extraction", "partial" or "full", why, and what the size rule alone had said."""

    name: str
    reason: str
    prior: str
    evidence: tuple[Evidence, ...] = ()
    few_shot: bool = False  # the rule table asks for few-shot heads first
    origin: str = ""  # where the rule that spoke comes from


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backbone, a strategy and all of its parameters: what a trial trains. `origin` says who proposed it.

    `continues` is the number of the paused trial that this one goes on with.
    """

    backbone: str
    strategy: str
    parameters: dict[str, Any]
    origin: str = "sampled"  # "default", "guess: NAME", "sampled", "pilot"
    size_px: int = 0
    continues: int | None = None


@dataclass(frozen=True, kw_only=True)
class FoldScore:
    """Scores on one validation fold of `n` images. `log_loss` is the mean over items, natural logarithm."""

    fold: int
    repeat: int
    seed: int
    n: int
    accuracy: float
    log_loss: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What a training run looked like, one entry an evaluation."""

    step: tuple[int, ...] = ()
    train_loss: tuple[float, ...] = ()
    log_loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate that was tried. `state`: "complete", "pruned" or "failed" (with `error`).

    `seconds` is what training and scoring took; `epochs` is 0 for closed-form heads. `predictions` names the file with
    the validation logits, relative to the run directory.
    """

    number: int
    candidate: Candidate
    regime: str
    state: str
    scores: tuple[FoldScore, ...] = ()
    error: str = ""
    seconds: float = 0.0
    started_s: float = 0.0  # seconds since the run began
    steps: int = 0
    epochs: float = 0.0
    temperature: float = 1.0
    curve: Curve = field(default_factory=Curve)
    predictions: str = ""
    continues: int | None = None
    needs_s: float = 0.0  # what a fold was seen to need, where it was given up for lack of time
    fitted: dict[str, float] = field(default_factory=dict)  # numbers fitted out of fold ("alpha" …)

    @property
    def accuracy(self) -> float:
        """Validation accuracy over all scored folds, weighted by their images; nan where nothing was scored."""
        n = sum(s.n for s in self.scores)
        return sum(s.accuracy * s.n for s in self.scores) / n if n else float("nan")

    @property
    def log_loss(self) -> float:
        """Validation log-loss over all scored folds, weighted by their images; inf where nothing was scored."""
        n = sum(s.n for s in self.scores)
        return sum(s.log_loss * s.n for s in self.scores) / n if n else float("inf")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Who won on validation: the winner's trial number, those that the data cannot tell apart, and why in words.

    `by_promise`: among the ties it is not of the cheapest regime, since such trainings paid on other data.
    """

    winner: int
    default: int
    ties: tuple[int, ...]
    kept_default: bool
    reason: str
    by_promise: bool = False


DEFAULT = "default"  # the origin of the untuned default
