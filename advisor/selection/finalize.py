"""Trials -> the end of the story: leaders scored again, verdict, candidates frozen, refit, the locked test opened once.

In: a finished search. Out: the final recipe, model, result and report in the run directory. What was frozen in
candidates.json is what is scored: a resume finishes exactly that and never searches again (docs/design.md 4.4).
Does NOT cover: how winners are told from noise (verdict.py), what the report looks like (report.py).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.data import splits
from advisor.errors import AdviseError
from advisor.models import pretrained_weights
from advisor.records import Ensemble, Gain, Item, Profile, Regime, Result, Trial, Verdict, recipe_file
from advisor.records.messages import Refitted, Score, Scored
from advisor.records.trials import REGIMES
from advisor.reporting import model_card, report, thumbnails
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.selection import ensemble, evidence, final_refit, forgetting_budget, incumbent, rescoring, result_builder
from advisor.tuning import budget, cost_model, epoch_budget, expected_loss
from advisor.tuning.search_run import SearchRun

BY_PROMISE = "the images alone do not settle it, what such a training brought on other data counted as one more fold"


@dataclass(frozen=True, kw_only=True)
class FrozenCandidates:
    """What was decided on validation, written down before the test is opened."""

    verdict: Verdict
    regime: Regime
    winner: Trial
    default: Trial | None
    ties: tuple[Trial, ...]
    ensemble: ensemble.EnsembleChoice | None = None
    digest: str = ""


def finish(run: SearchRun, kept: incumbent.IncumbentWriter, profile: Profile) -> Result:
    """Decide, freeze, refit, score once, and write everything down."""
    frozen = run.rundir.read("candidates.json", FrozenCandidates)
    if not run.probes:  # a resume behind the search; the report shows them
        run.probes = list(run.rundir.read("probes.json", list[Trial]) or [])
    run.describe(t.candidate.backbone for t in run.state().contenders())
    if frozen is None:
        frozen = _freeze(run, kept.frame)
    models = _refit(run, frozen)
    together = ensemble.train(run, frozen.ensemble, models[0][0])
    scored, reason = _score(run, models, together, kept.frame.used.test)
    offered = ensemble.summarise(frozen.ensemble, scored, run.rundir.path) if frozen.ensemble and together else None
    result = _result(run, kept, frozen, models, scored, reason, offered, profile)
    run.rundir.log("final", at_s=run.clock.used_s)
    return result


# ---- deciding ----------------------------------------------------------------------------------------------------


def _freeze(run: SearchRun, frame: result_builder.RunContext) -> FrozenCandidates:
    contenders = run.state().contenders()
    if not contenders:
        failed = [t for t in run.study.trials() if t.error]
        why = failed[-1].error if failed else "the time was over before the first probe ended"
        raise AdviseError(f"no trial ended well: {why}.", hint="Give a larger --budget, or a smaller --size.")
    run.listener.stage("scoring the leaders again")
    # Images of one group (a patient, a burst) are no independent witnesses: they are drawn together.
    groups = splits.groups_of(frame.used.pool) if frame.dataset.has_groups else None
    rescored = rescoring.rescore(run, contenders, groups)
    everyone = [rescored.get(t.number, t) for t in contenders]
    first = run.state().default
    default = next((t for t in everyone if first is not None and t.number == first.number), None)
    # Among ties the shallowest regime is the cheapest, to train and to explain; within it the lowest log-loss wins.
    depths = {t.number: float(REGIMES.index(t.regime)) for t in everyone}
    expected = {t.number: _expected(run, t) for t in everyone if t.steps}
    verdict = evidence.judge(run.rundir.path, everyone, default, run.facts.images, depths, groups, expected)
    by_number = {t.number: t for t in everyone}
    winner = by_number[verdict.winner]
    more = [*([BY_PROMISE] if verdict.by_promise else []), *epoch_budget.untried(run.state(), everyone)]
    settled = evidence.settle_regime(frame.regime, run.rundir.path, everyone, winner, run.facts.images, groups, more)
    frozen = FrozenCandidates(
        verdict=verdict,
        regime=settled,
        winner=winner,
        default=default,
        ties=tuple(by_number[n] for n in verdict.ties if n != verdict.winner),
        ensemble=ensemble.choose(run, winner, everyone),
    )
    frozen = replace(frozen, digest=hashlib.sha256(to_json(frozen).encode()).hexdigest())
    run.rundir.write("candidates.json", frozen)
    run.rundir.log("frozen", at_s=run.clock.used_s, digest=frozen.digest)
    return frozen


def _expected(run: SearchRun, trial: Trial) -> float:
    """Give the log-loss that a training promised before any was seen on these data."""
    published = {name: backbone.published_accuracy for name, backbone in run.facts.registry.backbones.items()}
    return expected_loss.expected(trial.candidate, trial.regime, trial.steps, run.probes, (), published)


# ---- the end -----------------------------------------------------------------------------------------------------


def _refit(run: SearchRun, frozen: FrozenCandidates) -> list[tuple[Path, Refitted]]:
    """Refit winner and default alike: on the whole pool, or where no time is left for the winner's, neither of them.

    What an earlier process refitted is taken as it is.
    """
    both = [frozen.winner]
    if frozen.default is not None and frozen.default.candidate != frozen.winner.candidate:
        both.append(frozen.default)
    models: list[tuple[Path, Refitted]] = []
    reserve_s = budget.FINISH_S / 2 + sum(cost_model.test_scoring_s(run.state(), t.candidate) for t in both)
    for name, trial in zip(("winner", "default"), both, strict=False):
        refitted = final_refit.train(
            run,
            trial,
            run.rundir.trials / f"final-{name}",
            reserve_s=reserve_s,
            or_a_fold=name == "winner" or incumbent.fold_model_folder(run.rundir.path, trial) is not None,
            alike=bool(models and models[0][1].folds),
        )
        if refitted is None:
            run.listener.note("the untuned default was not trained in time: no test score of it")
            break
        models.append((run.rundir.trials / f"final-{name}", refitted))
    return models


def _score(
    run: SearchRun, models: Sequence[tuple[Path, Refitted]], together: Sequence[Path], test: Sequence[Item]
) -> tuple[Scored | None, str | None]:
    """Open the locked test once: what was scored before is only read."""
    if not test:
        return None, "there is no test set (--test-split none, or too few images to put some aside)"
    scored = run.rundir.read("test.json", Scored)
    if scored is None:
        run.listener.stage(f"scoring the locked test: {len(test):,} images, once")
        job = Score(
            folders=tuple(str(folder) for folder, _ in models),
            ensemble=tuple(str(folder) for folder in together),
            items=tuple(test),
            predictions=str(run.rundir.trials / "test.npz"),
        )
        scored = run.ask(job, Scored)
        run.rundir.write("test.json", scored)
    return scored, None


def _result(
    run: SearchRun,
    kept: incumbent.IncumbentWriter,
    frozen: FrozenCandidates,
    models: Sequence[tuple[Path, Refitted]],
    scored: Scored | None,
    reason: str | None,
    offered: Ensemble | None,
    profile: Profile,
) -> Result:
    """Write recipe, report, card and result beside the model, and put them all in place together."""
    staged = run.rundir.staging("final")
    folder, refitted = models[0]
    frame, trials = kept.frame, run.study.trials()
    for name in ("model.safetensors", "model.json"):
        shutil.copyfile(folder / name, staged / name)
    made = result_builder.make_recipe(frame, "final", frozen.winner, refitted, scored.scores[0] if scored else None)
    write_atomically(staged / "recipe.yaml", recipe_file.write(made, command=frame.settings.command))
    ending = result_builder.SearchOutcome(
        regime=frozen.regime,
        winner=frozen.winner,
        trials=trials,
        used_s=run.clock.used_s,
        default=frozen.default,
        scored=scored,
        test_reason=reason,
        gain=_gain(run, frozen, scored),
        ties=frozen.ties,
        ensemble=offered,
        warnings=_warnings(models),
        forgetting=forgetting_budget.measure_winner(run, frozen.winner, refitted, folder),
    )
    files: dict[str, str | None] = {"recipe": "recipe.yaml", "model": "model.safetensors", "report": "report.html"}
    result = result_builder.make_result(frame, "final", ending, files)
    small = thumbnails.make(frame.dataset.root, [m.path for m in result.mistakes])
    page = report.render(result, profile, [*run.probes, *trials], thumbnails=small, run=str(run.rundir.path))
    write_atomically(staged / "report.html", page)
    write_atomically(
        staged / "README.md",
        model_card.render(result, made, licence=_licence(kept, frozen.winner), run=str(run.rundir.path)),
    )
    result = replace(result, budget=replace(result.budget, used_s=round(run.clock.used_s, 2)))
    write_atomically(staged / "result.json", to_json(result))
    run.rundir.adopt(staged)
    shutil.rmtree(staged, ignore_errors=True)
    return result


def _warnings(models: Sequence[tuple[Path, Refitted]]) -> list[str]:
    """Tell what is unusual about the model that ships, and about what it is compared with."""
    told = [models[0][1].warning] if models[0][1].warning else []
    if len(models) > 1 and models[1][1].folds:
        told.append("the untuned default is scored as the search left it: no time was left to train it on all images")
    return told


def _licence(kept: incumbent.IncumbentWriter, winner: Trial) -> str:
    used = pretrained_weights.as_weights(kept.frame.registry.backbone(winner.candidate.backbone))
    return used.licence if used is not None else "unknown"


def _gain(run: SearchRun, frozen: FrozenCandidates, scored: Scored | None) -> Gain | None:
    if scored is None:
        return None
    if len(scored.scores) < 2:
        same = frozen.default is not None and frozen.default.candidate == frozen.winner.candidate
        return Gain(over_baseline=0.0, ci95=(0.0, 0.0), within_noise=True) if same else None
    with np.load(run.rundir.trials / "test.npz") as saved:
        right = saved["logits"].argmax(2) == saved["labels"]
        return result_builder.compare_on_test(right[0], right[1], saved["groups"])
