"""What was tried and what came of it: candidates, trials with their scores, the regime with its evidence, the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

RegimeName = Literal["feature_extraction", "partial", "full"]
REGIMES: tuple[RegimeName, ...] = get_args(RegimeName)  # from the least trained to the most
REGIME_WORDS: dict[str, str] = {
    "feature_extraction": "feature extraction",
    "partial": "partial fine-tuning",
    "full": "full fine-tuning",
}
TrialState = Literal["complete", "pruned", "failed"]
RunStatus = Literal["provisional", "final"]  # of a result: written on the way, or after the test was scored
# Why a trial failed, where the search acts on it; "other" is every other reason, "" means that it did not fail.
FailureKind = Literal["", "diverged", "out_of_memory", "too_slow", "other"]
# Who proposed a candidate: the first word of `Candidate.origin`.
OriginKind = Literal["default", "probe", "guess", "sampled", "promoted", "longer", "recipe"]
ORIGINS: tuple[OriginKind, ...] = get_args(OriginKind)
DEFAULT: OriginKind = "default"  # the untuned default
RUNGS = (33, 66, 100)  # percent of the steps after which a trial is scored; at all but the last it may pause


def regime_name(name: str) -> RegimeName:
    """Return `name` as a regime's name.

    Raises ValueError where there is no such regime.
    """
    for regime in REGIMES:
        if name == regime:
            return regime
    raise ValueError(f'unknown regime "{name}": expected one of {", ".join(REGIMES)}')


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
    """How much of the network to train, why, and what the size rule alone recommended (`prior`)."""

    name: RegimeName
    reason: str
    prior: RegimeName
    evidence: tuple[Evidence, ...] = ()
    few_shot: bool = False  # the rule recommends few-shot heads first
    origin: str = ""  # the source of the rule that decided
    forced: bool = False  # set by --regime: nothing that is measured changes it


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backbone, a strategy and all of its parameters: what a trial trains. `origin` records who proposed it.

    `origin` is an `OriginKind`, some with a detail: "guess: NAME" (a strategy's first guess), "promoted: NUMBER" (the
    paused trial that this one continues, also in `continues`).
    """

    backbone: str
    strategy: str
    parameters: dict[str, Any]
    origin: str = "sampled"
    size_px: int = 0
    continues: int | None = None

    @property
    def origin_kind(self) -> OriginKind:
        """The first word of `origin`."""
        kind = self.origin.partition(":")[0]
        for name in ORIGINS:
            if kind == name:
                return name
        raise ValueError(f'unknown origin "{self.origin}": expected one of {", ".join(ORIGINS)}')


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
    objective: tuple[float, ...] = ()  # the objective as a loss, where it is not the log-loss

    @property
    def losses(self) -> tuple[float, ...]:
        """The loss that decides, at every evaluation: the objective's, by default the log-loss."""
        return self.objective or self.log_loss


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate that was tried. A failed one has its reason in `error` (words) and `failure_kind` (what code acts on).

    `seconds` is what training and scoring took; `epochs` is 0 for closed-form heads. `predictions` names the file with
    the validation logits, relative to the run directory.
    """

    number: int
    candidate: Candidate
    regime: RegimeName
    state: TrialState
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
    failure_kind: FailureKind = ""
    objective: float | None = None  # the objective as a loss over all scored images, where it is not the log-loss

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

    @property
    def loss(self) -> float:
        """The validation loss that decides, lower is better: the objective's, by default the log-loss."""
        return self.log_loss if self.objective is None else self.objective

    @property
    def rank(self) -> tuple[float, float, int]:
        """The order of trials, best first: the loss that decides, then the log-loss, then the number."""
        return self.loss, self.log_loss, self.number


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Who won on validation: the winner's trial number, those that the data cannot tell apart, and why in words.

    `by_promise`: among the ties it is not of the cheapest regime, since such trainings paid on other data.
    """

    winner: int
    default: int | None
    ties: tuple[int, ...]
    kept_default: bool
    reason: str
    by_promise: bool = False


@dataclass(frozen=True)
class StoppedBecause:
    """Why the search ended: `reason` is "trials", "time", "gain", "patience" or "nothing left"; `text` states it.

    `expected_gain` is the expected relative decrease of the log-loss by the best candidate that remained, `probability` that
    of any decrease; None if nothing remained or it was not predicted.
    """

    reason: str
    text: str
    expected_gain: float | None = None
    probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Untried:
    """A regime without a complete trial. `needs_s`: seconds that its candidate needed with the end of the run, of the `left_s`
    at the end of the search, both None without a deadline; gain and probability as in `StoppedBecause`.
    """

    regime: str
    text: str
    needs_s: float | None = None
    left_s: float | None = None
    expected_gain: float | None = None
    probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class LiftReading:
    """What a strategy made of a network's probe in `runs` finished runs.

    `lift` is the mean logarithm of its log-loss over the probe's, a training's scaled to the length of the built-in table.
    """

    backbone: str
    strategy: str
    regime: RegimeName
    lift: float
    runs: int


@dataclass(frozen=True, kw_only=True)
class Experience:
    """What was read from `runs` finished runs; `sha256` identifies them. Without runs, the built-in table stands alone."""

    runs: int = 0
    sha256: str = ""
    readings: tuple[LiftReading, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExperienceUse:
    """From how many finished runs a search learned what to expect, and what identifies them."""

    runs: int
    sha256: str
