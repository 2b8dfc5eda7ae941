"""Trials -> the frozen candidates: re-evaluate the leaders, judge them, and write the decision before the test set is read.

In: a finished search. Out: candidates.json: winner, default, ties, ensemble, regime. They are the ones that are tested: a
resume finishes exactly those and never searches again (docs/design.md 4.4). Does NOT cover: the statistics (`verdict`,
`evidence`), what follows (`run_end`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from advisor.data import splits
from advisor.errors import AdviseError, InputError
from advisor.records import (
    Regime,
    StoppedBecause,
    Trial,
    Untried,
    Verdict,
)
from advisor.records.trials import REGIMES
from advisor.runtime import json_records
from advisor.selection import deployment, ensemble, evidence, rescoring, result_builder
from advisor.tuning import expected_loss
from advisor.tuning.search_run import SearchRun

BY_EXPECTATION = (
    "the validation images alone did not decide: results of such training on other data counted as one fold"
)
COPY_AGAIN = "Copy the whole run again, or start a new one."


@dataclass(frozen=True, kw_only=True)
class FrozenCandidates:
    """The decisions made on validation data, written before the test set is read."""

    verdict: Verdict
    regime: Regime
    winner: Trial
    default: Trial | None
    ties: tuple[Trial, ...]
    ensemble: ensemble.EnsembleChoice | None = None
    stopped_because: StoppedBecause | None = None
    untried: tuple[Untried, ...] = ()
    predicted_s: float | None = None  # of the whole run, where only its number of trials is limited
    digest: str = ""


def is_frozen(run: SearchRun) -> bool:
    """Return True if an earlier process of this run froze the candidates.

    Raises InputError where the file is gone, and what is made after it is there: a search must not go on from a test score.
    """
    path = run.rundir.candidates
    if not path.exists() and (any(run.rundir.trials.glob("final-*")) or (run.rundir.path / "test.json").exists()):
        raise InputError(f"{path}: is missing, though its models were trained already.", hint=COPY_AGAIN)
    return path.exists()


def judge(run: SearchRun, context: result_builder.RunContext) -> FrozenCandidates:
    """Return the frozen candidates: those of an earlier process, else re-evaluate the leaders, judge and freeze.

    They are frozen anew where one of them is left out by now, since the code of its network or strategy failed before any
    test score.
    """
    if not run.probes:  # a resume after the search; the report shows them
        run.probes = list(run.rundir.read("probes.json", list[Trial]) or [])
    run.describe(t.candidate.backbone for t in run.state().contenders())
    frozen = _read(run)
    if frozen is not None and not any(run.cannot_win(t) for t in _members(frozen)):
        return frozen
    if frozen is not None:  # of an earlier process, perhaps: only that one knows how its search ended
        run.stopped, run.untried, run.predicted_s = frozen.stopped_because, frozen.untried, frozen.predicted_s
    return _freeze(run, context)


def _read(run: SearchRun) -> FrozenCandidates | None:
    """Return what an earlier process froze, None before that. Raises InputError where the file was changed since.

    The digest is of the text, not of the record, which may have more fields by now.
    """
    frozen, path = run.rundir.read("candidates.json", FrozenCandidates), run.rundir.candidates
    if frozen is not None and frozen.digest:
        text = json_records.plain(path.read_text(encoding="utf-8", errors="surrogateescape"))
        if json_records.digest({**text, "digest": ""}) != frozen.digest:
            raise InputError(f"{path}: was changed after the candidates were frozen.", hint=COPY_AGAIN)
    return frozen


def _members(frozen: FrozenCandidates) -> tuple[Trial, ...]:
    """List the trials whose models are tested."""
    others = () if frozen.ensemble is None else frozen.ensemble.members
    return (frozen.winner, *others) if frozen.default is None else (frozen.winner, frozen.default, *others)


def _freeze(run: SearchRun, context: result_builder.RunContext) -> FrozenCandidates:
    contenders = deployment.contenders_within_limits(run)
    if not contenders:
        raise _no_contenders(run)
    run.listener.stage("re-evaluating the leading candidates on new folds")
    # Images of one group (a patient, a burst) are not independent: they are resampled together.
    groups = splits.groups_of(context.used.pool) if context.dataset.has_groups else None
    rescored = rescoring.rescore(run, contenders, groups)
    candidates = [rescored.get(t.number, t) for t in contenders]
    default_trial = run.state().default
    default = next((t for t in candidates if default_trial is not None and t.number == default_trial.number), None)
    # Among ties the regime that trains the fewest layers is the cheapest, to train and to explain.
    depths = {t.number: float(REGIMES.index(t.regime)) for t in candidates}
    expected = {t.number: _expected(run, t) for t in candidates if t.steps}
    objective = run.facts.objective
    verdict = evidence.judge(
        run.rundir.path, candidates, default, run.facts.images, depths, groups, expected, objective
    )
    by_number = {t.number: t for t in candidates}
    winner = by_number[verdict.winner]
    remarks = [*([BY_EXPECTATION] if verdict.by_promise else []), *(u.text for u in run.untried)]
    compared = [*candidates, *run.state().set_aside()]
    final_regime = evidence.settle_regime(
        context.regime, run.rundir.path, compared, winner, run.facts.images, groups, remarks, objective
    )
    frozen = FrozenCandidates(
        verdict=verdict,
        regime=final_regime,
        winner=winner,
        default=default,
        ties=tuple(by_number[n] for n in verdict.ties if n != verdict.winner),
        ensemble=ensemble.choose(run, winner, candidates),
        stopped_because=run.stopped,
        untried=run.untried,
        predicted_s=run.predicted_s,
    )
    frozen = replace(frozen, digest=json_records.digest(frozen))
    run.rundir.write("candidates.json", frozen)
    run.rundir.log("frozen", at_s=run.clock.used_s, digest=frozen.digest)
    return frozen


def _no_contenders(run: SearchRun) -> AdviseError:
    """Return the error for a search in which nothing succeeded; the hint is about time and memory where they were short."""
    failed = [t for t in run.study.trials() if t.error]
    why = failed[-1].error if failed else "the budget ran out before the first probe ended"
    short = not failed or failed[-1].failure_kind in ("too_slow", "out_of_memory")
    log = f"The traceback is in {run.rundir.path / 'worker.log'}."
    hint = "Start a new run with a larger --budget or a smaller --size." if short else log
    return AdviseError(f"no trial succeeded: {why}.", hint=hint)


def _expected(run: SearchRun, trial: Trial) -> float:
    """Return the log-loss that was expected of a training before any training on these data."""
    published = {name: backbone.published_accuracy for name, backbone in run.facts.registry.backbones.items()}
    return expected_loss.expected(
        trial.candidate, trial.regime, trial.steps, run.probes, (), published, experience=run.facts.experience
    )
