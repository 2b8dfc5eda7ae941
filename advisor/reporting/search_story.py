"""The search as a story: trials -> a few sentences that say what was tried, what came of it, and why the winner won.

Pure. Does NOT cover: the drawing over time and the table of trials (`report`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from advisor.metrics import objectives
from advisor.records import Result, Trial
from advisor.records.objective import OBJECTIVE_WORDS, ObjectiveName, ObjectiveSpec
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
    best = min(probes, key=lambda t: (t.loss, t.number))
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
    stopped, failed = (sum(t.state == state for t in trials) for state in ("pruned", "failed"))
    if stopped:
        were = "was stopped early because it was" if stopped == 1 else "were stopped early because they were"
        parts.append(f"{stopped} {were} behind")
    if failed:
        parts.append(f"{failed} failed")
    return f"{wording.series(parts)}." if parts else ""


def _winner(result: Result, trials: Sequence[Trial]) -> str:
    chosen = next((t for t in trials if t.number == result.best.trial and _scored(t)), None)
    if chosen is None:
        return ""
    name = f"{wording.candidate(chosen.candidate)} ({wording.trial(chosen.number)})"
    scored = result.validation  # over all of its folds, those of the re-evaluation included
    score = f"{_decisive(result, chosen)} and {wording.percent(scored.accuracy)} on validation"
    why = _why_not_accuracy(result) if any(_scored(t) and t.accuracy > chosen.accuracy + 5e-4 for t in trials) else ""
    if wording.kept_default(result):
        return f"The untuned default, {name}, was kept with {score}: nothing was clearly better.{why}"
    others = "1 other is" if len(result.ties) == 1 else f"{len(result.ties)} others are"
    tied = f"; {others} statistically tied with it" if result.ties else ""
    return f"The winner is {name} with {score}{tied}.{why}"


def objective_name(result: Result) -> ObjectiveName:
    """Return the score by which the winner was chosen."""
    return "log_loss" if result.objective is None else result.objective.name


def objective_value(result: Result, trial: Trial) -> float:
    """Return a trial's validation score by the objective, which its record holds as a loss."""
    higher = objectives.make(ObjectiveSpec(name=objective_name(result))).higher_is_better
    return 1 - trial.loss if higher else trial.loss


def _decisive(result: Result, chosen: Trial) -> str:
    """Write the score that decided; accuracy itself is stated in any case."""
    name, loss = objective_name(result), f"log-loss {result.validation.log_loss:.3f}"
    if name in ("log_loss", "accuracy"):
        return loss
    return f"{OBJECTIVE_WORDS[name].score} {objective_value(result, chosen):.3f}, {loss}"


def _why_not_accuracy(result: Result) -> str:
    """Write why a trial of a higher accuracy did not win; "" where accuracy decides: then it is tied with the winner."""
    name = objective_name(result)
    why = ", which also values reliable probabilities" if name == "log_loss" else ""
    goes = f" Some trials have a higher accuracy: the choice goes by {OBJECTIVE_WORDS[name].score}{why}."
    return "" if name == "accuracy" else goes


def _end(result: Result) -> str:
    stopped = result.stopped_because
    why = f" The search ended: {stopped.text.rstrip('.')}." if stopped is not None and stopped.text else ""
    return f"The whole run took {wording.time_used(result.budget)}.{why}"
