"""Saved validation logits of trials -> the verdict, and the evidence for the recommended regime.

In: a run directory with `trials/*.npz`, contenders, the untuned default. Out: a `Verdict` and the final `Regime`. Two
contenders are compared only on the images that both were scored on. Reads no pixels, imports no torch.
Does NOT cover: the statistics (`verdict`, `metrics.intervals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.aliases import Float64s
from advisor.metrics import intervals
from advisor.metrics.objectives import held_out
from advisor.records import Evidence, Regime, Trial, Verdict
from advisor.records.objective import OBJECTIVE_WORDS, ObjectiveSpec
from advisor.records.trials import REGIME_WORDS, REGIMES
from advisor.runtime import stored_arrays
from advisor.selection import verdict
from advisor.tuning import regime

LOG_LOSS = ObjectiveSpec()
# A contender that is this many standard errors of the paired log-loss difference behind the best cannot overtake it on new
# folds. Applied only from this number of common images, since the standard error itself is uncertain on few.
CLEARLY_BEHIND_ERRORS, CLEARLY_BEHIND_IMAGES = 5.0, 500


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """The loss that decides and the correctness of a contender on each image of the pool, nan if not scored.

    Repeats are averaged. The loss is the log-loss, or the objective's per-image values (`metrics.objectives`).
    """

    loss: Float64s
    correct: Float64s


def read_scores(run_dir: Path, trial: Trial, pool: int, objective: ObjectiveSpec = LOG_LOSS) -> ImageScores:
    """Read a contender's validation logits; `pool` is the number of images in the pool."""
    total, right, count = (np.zeros(pool) for _ in range(3))
    for repeat in sorted({s.repeat for s in trial.scores}):
        name = trial.predictions if repeat == 0 else trial.predictions.replace(".npz", f"-r{repeat}.npz")
        saved = stored_arrays.read(run_dir / name)
        rows, logits, labels = saved["rows"], saved["logits"].astype(np.float64), saved["labels"]
        total[rows] += held_out.image_losses(objective, logits, labels, trial.temperature)
        right[rows] += logits.argmax(1) == labels
        count[rows] += 1
    with np.errstate(invalid="ignore"):
        return ImageScores(
            loss=np.where(count > 0, total / count, np.nan), correct=np.where(count > 0, right / count, np.nan)
        )


def list_doubtful(
    run_dir: Path,
    leaders: Sequence[Trial],
    pool: int,
    groups: npt.NDArray[np.int64] | None = None,
    objective: ObjectiveSpec = LOG_LOSS,
) -> list[Trial]:
    """Return the leaders, best first, whose order new scores could still change; none if only the first one is left."""
    outcomes = [read_scores(run_dir, t, pool, objective).loss for t in leaders]
    doubtful = [
        t
        for t, outcome in zip(leaders[1:], outcomes[1:], strict=True)
        if not _is_clearly_behind(outcome, outcomes[0], groups)
    ]
    return [leaders[0], *doubtful] if doubtful else []


def _is_clearly_behind(other: Float64s, best: Float64s, groups: npt.NDArray[np.int64] | None) -> bool:
    both = ~np.isnan(other) & ~np.isnan(best)
    if both.sum() < CLEARLY_BEHIND_IMAGES or other[both].mean() <= best[both].mean():
        return False
    members = None if groups is None else groups[both]
    return intervals.errors_apart(other[both], best[both], groups=members) > CLEARLY_BEHIND_ERRORS


def judge(
    run_dir: Path,
    contenders: Sequence[Trial],
    default: Trial | None,
    pool: int,
    costs: dict[int, float],
    groups: npt.NDArray[np.int64] | None = None,
    expected: dict[int, float] | None = None,
    objective: ObjectiveSpec = LOG_LOSS,
) -> Verdict:
    """Judge the contenders by their saved validation logits; images of one of the `groups` are resampled together.

    `expected` is the log-loss that was expected of trained contenders before they were tried. Where the untuned default has
    no result (`default` is None), no contender takes its place.
    """
    outcomes = {t.number: read_scores(run_dir, t, pool, objective) for t in contenders}
    losses = {n: o.loss for n, o in outcomes.items()}
    # Another objective decides alone: a gain in it may well cost accuracy.
    errors = {n: 1.0 - o.correct for n, o in outcomes.items()} if objective.name == "log_loss" else None
    expectations = {
        t.number: (expected[t.number], len(t.scores)) for t in contenders if expected and t.number in expected
    }
    return verdict.judge(
        contenders,
        losses,
        default.number if default else None,
        costs,
        errors=errors,
        expected=expectations,
        groups=groups,
        loss_name=OBJECTIVE_WORDS[objective.name].loss,
    )


def settle_regime(
    prior: Regime,
    run_dir: Path,
    contenders: Sequence[Trial],
    winner: Trial,
    pool: int,
    groups: npt.NDArray[np.int64] | None = None,
    more: Sequence[str] = (),
    objective: ObjectiveSpec = LOG_LOSS,
) -> Regime:
    """Return the winner's regime with its paired comparison to the best trial of every other regime.

    `more` are further sentences: why a regime was not tried, what decided a tie.
    """
    comparisons, sentences = [], []
    of_winner = read_scores(run_dir, winner, pool, objective)
    for name in REGIMES:
        rivals = [t for t in contenders if t.regime == name]
        if name == winner.regime or not rivals:
            continue
        rival = min(rivals, key=lambda t: t.rank)
        of_rival = read_scores(run_dir, rival, pool, objective)
        both = ~np.isnan(of_winner.correct) & ~np.isnan(of_rival.correct)
        if not both.any():
            continue
        value, reference = float(of_winner.correct[both].mean()), float(of_rival.correct[both].mean())
        words = OBJECTIVE_WORDS[objective.name].loss
        losses = f"{words} {of_winner.loss[both].mean():.3f} against {of_rival.loss[both].mean():.3f}"
        members = None if groups is None else groups[both]
        p = verdict.paired_p(of_winner.loss[both], of_rival.loss[both], groups=members)
        comparisons.append(
            Evidence(
                signal=f"{REGIME_WORDS[winner.regime]} against {REGIME_WORDS[name]}",
                value=value,
                reference=reference,
                n=int(both.sum()),
                p=p,
            )
        )
        ahead = round(100 * (value - reference), 1) + 0.0  # no "-0.0"
        sentences.append(
            f"{ahead:+.1f} points over {REGIME_WORDS[name]} on the same {int(both.sum())} images ({losses}), p = {p:.3g}"
        )
    if not (sentences or more):
        sentences.append("no fine-tuning was tried")
    return regime.settle(prior, winner.regime, comparisons, sentences, more)
