"""Trials with their validation logits on disk -> the verdict, and the evidence for the regime that it settles.

In: a run directory with `trials/*.npz`, contenders, the untuned default. Out: a `Verdict` and the settled `Regime`. Two
contenders are compared on the images that both were scored on, and on nothing else. Reads no pixels, imports no torch.
Does NOT cover: the statistics (verdict.py, intervals.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.aliases import Float64s
from advisor.metrics import intervals
from advisor.records import Evidence, Regime, Trial, Verdict
from advisor.records.trials import REGIME_WORDS, REGIMES
from advisor.selection import verdict
from advisor.tuning import regime

# Of the paired difference in log-loss to the best, in standard errors: a contender farther behind cannot come back with
# fresh folds. Only said on so many common images, since the error itself is uncertain on few.
BEYOND_DOUBT, WELL_KNOWN = 5.0, 500


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a contender did on each image of the pool: nan where it was not scored on it. Repeats are averaged."""

    log_loss: Float64s
    correct: Float64s


def outcome(run_dir: Path, trial: Trial, pool: int) -> Outcome:
    """Read a contender's validation logits; `pool` is the number of images in the pool."""
    total, right, count = (np.zeros(pool) for _ in range(3))
    for repeat in sorted({s.repeat for s in trial.scores}):
        name = trial.predictions if repeat == 0 else trial.predictions.replace(".npz", f"-r{repeat}.npz")
        with np.load(run_dir / name) as saved:
            rows, logits, labels = saved["rows"], saved["logits"].astype(np.float64), saved["labels"]
        scaled = logits / trial.temperature
        scaled -= scaled.max(1, keepdims=True)
        loss = np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]
        total[rows] += loss
        right[rows] += logits.argmax(1) == labels
        count[rows] += 1
    with np.errstate(invalid="ignore"):
        return Outcome(
            log_loss=np.where(count > 0, total / count, np.nan), correct=np.where(count > 0, right / count, np.nan)
        )


def in_doubt(
    run_dir: Path, leaders: Sequence[Trial], pool: int, groups: npt.NDArray[np.int64] | None = None
) -> list[Trial]:
    """Keep those leaders, best first, that fresh scores could still bring ahead; none where the first one is alone."""
    outcomes = [outcome(run_dir, t, pool).log_loss for t in leaders]
    kept = [t for t, own in zip(leaders[1:], outcomes[1:], strict=True) if not _behind(own, outcomes[0], groups)]
    return [leaders[0], *kept] if kept else []


def _behind(own: Float64s, best: Float64s, groups: npt.NDArray[np.int64] | None) -> bool:
    both = ~np.isnan(own) & ~np.isnan(best)
    if both.sum() < WELL_KNOWN or own[both].mean() <= best[both].mean():
        return False
    members = None if groups is None else groups[both]
    return intervals.errors_apart(own[both], best[both], groups=members) > BEYOND_DOUBT


def judge(
    run_dir: Path,
    contenders: Sequence[Trial],
    default: Trial | None,
    pool: int,
    costs: dict[int, float],
    groups: npt.NDArray[np.int64] | None = None,
    expected: dict[int, float] | None = None,
) -> Verdict:
    """Decide on validation who wins, who ties, and whether the untuned default is kept; `groups` stay together.

    `expected` is the log-loss that was expected of trained contenders before they were tried.
    """
    outcomes = {t.number: outcome(run_dir, t, pool) for t in contenders}
    losses = {n: o.log_loss for n, o in outcomes.items()}
    errors = {n: 1.0 - o.correct for n, o in outcomes.items()}
    first = default.number if default else contenders[0].number
    promised = {t.number: (expected[t.number], len(t.scores)) for t in contenders if expected and t.number in expected}
    return verdict.judge(contenders, losses, first, costs, errors=errors, promised=promised, groups=groups)


def settle(
    prior: Regime,
    run_dir: Path,
    contenders: Sequence[Trial],
    winner: Trial,
    pool: int,
    groups: npt.NDArray[np.int64] | None = None,
    more: Sequence[str] = (),
) -> Regime:
    """Give the regime of the winner, with what the best of every other regime reached on the same images.

    `more` is what else there is to say, in words: why a regime was not tried, what settled a tie.
    """
    evidence, told = [], []
    ours = outcome(run_dir, winner, pool)
    for name in REGIMES:
        rivals = [t for t in contenders if t.regime == name]
        if name == winner.regime or not rivals:
            continue
        rival = min(rivals, key=lambda t: (t.log_loss, t.number))
        theirs = outcome(run_dir, rival, pool)
        both = ~np.isnan(ours.correct) & ~np.isnan(theirs.correct)
        if not both.any():
            continue
        value, reference = float(ours.correct[both].mean()), float(theirs.correct[both].mean())
        losses = f"log-loss {ours.log_loss[both].mean():.3f} against {theirs.log_loss[both].mean():.3f}"
        members = None if groups is None else groups[both]
        p = verdict.paired_p(ours.log_loss[both], theirs.log_loss[both], groups=members)
        evidence.append(
            Evidence(signal=f"{winner.regime} over {name}", value=value, reference=reference, n=int(both.sum()), p=p)
        )
        told.append(
            f"{100 * (value - reference):+.1f} points over {REGIME_WORDS[name]} on the same {int(both.sum())} images "
            f"({losses}), p = {p:.3g}"
        )
    if not (told or more):
        told.append("nothing deeper could be tried")
    return regime.settle(prior, winner.regime, evidence, told, more)
