"""The search as a story: trials -> a few sentences that say what was tried, what came of it, and why the winner won.

Pure. Does NOT cover: the drawing over time and the table of trials (`report`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from advisor.records import Result, Trial
from advisor.records.trials import REGIMES
from advisor.reporting import wording


def tell(result: Result, trials: Sequence[Trial]) -> list[str]:
    """Return the sentences in the order of events; none where nothing was tried."""
    probes = [t for t in trials if t.number < 0 and _scored(t)]
    searched = [t for t in trials if t.number >= 0]
    sentences = [_probes(probes), _searched(searched), _ended(searched), _winner(result, trials), _end(result)]
    return [sentence for sentence in sentences if sentence]


def _scored(trial: Trial) -> bool:
    return trial.state == "complete" and not math.isnan(trial.accuracy)


def _probes(probes: Sequence[Trial]) -> str:
    if not probes:
        return ""
    networks = len({t.candidate.backbone for t in probes})
    best = min(probes, key=lambda t: (t.log_loss, t.number))
    many = f"{len(probes)} quick probes" if len(probes) > 1 else "One quick probe"
    what = f"{networks} frozen networks" if networks > 1 else f"the frozen network {best.candidate.backbone}"
    name = wording.candidate(best.candidate)
    return f"{many} on {what} set the mark: {name} reached {wording.percent(best.accuracy)} on validation."


def _searched(trials: Sequence[Trial]) -> str:
    parts = []
    for regime in REGIMES:
        scored = [t for t in trials if t.regime == regime and _scored(t)]
        if scored:
            best = max(scored, key=lambda t: (t.accuracy, -t.number))
            counted = f"{len(scored)} of {wording.regime(regime)}"
            parts.append(f"{counted} (at best {wording.percent(best.accuracy)}, {best.candidate.strategy})")
    if not parts:
        return ""
    return f"Then the search completed {wording.series(parts)}."


def _ended(trials: Sequence[Trial]) -> str:
    parts = []
    for state, words in (("pruned", "stopped early because they were behind"), ("failed", "failed")):
        count = sum(t.state == state for t in trials)
        if count:
            parts.append(f"{count} {'was' if count == 1 and state == 'pruned' else ''} {words}".replace("  ", " "))
    return f"{wording.series(parts).capitalize()}." if parts else ""


def _winner(result: Result, trials: Sequence[Trial]) -> str:
    chosen = next((t for t in trials if t.number == result.best.trial and _scored(t)), None)
    if chosen is None:
        return ""
    name = f"{wording.candidate(chosen.candidate)} ({wording.trial(chosen.number)})"
    scored = result.validation  # over all of its folds, those of the re-evaluation included
    score = f"log-loss {scored.log_loss:.3f} and {wording.percent(scored.accuracy)} on validation"
    higher = [t for t in trials if _scored(t) and t.accuracy > chosen.accuracy + 5e-4]
    why = ""
    if higher:
        why = " Some trials have a higher accuracy: the choice goes by log-loss, which also values reliable probabilities."
    if wording.kept_default(result):
        return f"The untuned default, {name}, was kept with {score}: nothing was clearly better.{why}"
    tied = f"; {len(result.ties)} others are statistically tied with it" if len(result.ties) > 1 else ""
    return f"The winner is {name} with {score}{tied}.{why}"


def _end(result: Result) -> str:
    stopped = result.stopped_because
    why = f" The search ended: {stopped.text.rstrip('.')}." if stopped is not None and stopped.text else ""
    return f"The whole run took {wording.time_used(result.budget)}.{why}"
