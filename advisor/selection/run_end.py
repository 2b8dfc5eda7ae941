"""The end of a run: refit the frozen candidates, evaluate the held-out test set once, write recipe, model, report, result.

In: a run whose candidates are frozen. Out: the final files in the run directory. Refits and test scores of an earlier process
are used. Does NOT cover: choosing the candidates (`frozen_candidates`), the layout of the report (`reporting.report`).
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor.data import changes
from advisor.errors import DatasetError
from advisor.hooks import Backbone
from advisor.models import model_files, pretrained_weights
from advisor.records import (
    Ensemble,
    Gain,
    Item,
    Profile,
    Result,
    Trial,
    recipe_file,
)
from advisor.records.messages import Refitted, Score, Scored
from advisor.records.objective import DecisionRule
from advisor.records.recipe import Recipe
from advisor.reporting import model_card, report, thumbnails
from advisor.runtime import stored_arrays
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.selection import (
    deployment,
    ensemble,
    final_models,
    incumbent,
    insights,
    objective_decision,
    result_builder,
    shortened_test,
)
from advisor.selection.frozen_candidates import FrozenCandidates
from advisor.selection.measurements import forgetting_budget, timed_insights, unlike
from advisor.tuning import cost_model, experience
from advisor.tuning.search_run import SearchRun


def compose(run: SearchRun, writer: incumbent.IncumbentWriter, frozen: FrozenCandidates, profile: Profile) -> Result:
    """Refit, evaluate the test set once, and write recipe, model, report and result.

    Raises DatasetError if image files changed since they were read.
    """
    _check_unchanged(run, writer.frame, writer.frame.used.pool)
    run.observe_slowdown()
    models = _refit(run, frozen)
    ensemble_folder = ensemble.train(run, frozen.ensemble, models[0][0])
    scoring = [trial for trial in (frozen.winner, frozen.default) if trial is not None][: len(models)]
    if frozen.ensemble and ensemble_folder:
        scoring += frozen.ensemble.members
    context = shortened_test.shorten(run, writer.frame, scoring)
    scored, reason, context = _score(run, models, ensemble_folder, context, scoring)
    if ensemble_folder and scored is not None and scored.ensemble is None:
        ensemble.withdraw(run, ensemble_folder)
        ensemble_folder = None
    writer = replace(writer, frame=context)
    ensemble_result = None
    if frozen.ensemble and ensemble_folder:
        ensemble_result = ensemble.summarise(frozen.ensemble, scored, run.rundir.path)
    result = _result(run, writer, frozen, models, scored, reason, ensemble_result, profile)
    run.rundir.log("final", at_s=run.clock.used_s)
    return result


def _check_unchanged(run: SearchRun, context: result_builder.RunContext, items: Sequence[Item]) -> None:
    """Raise DatasetError if the files of these items changed since they were read."""
    different = changes.since_read(context.dataset.root, items, context.read_at_s)
    if different:
        raise DatasetError(
            f"{context.dataset.root} changed during the run: {changes.describe(different)}.",
            hint=f"Restore the data and run `tl-advise resume {shlex.quote(str(run.rundir.path))}`, or start a new run.",
        )


def _refit(run: SearchRun, frozen: FrozenCandidates) -> list[tuple[Path, Refitted]]:
    """Refit winner and default in the same way: on the whole pool, or neither of them if the winner's does not fit.

    Models that an earlier process refitted are used.
    """
    both = [frozen.winner]
    if frozen.default is not None and frozen.default.candidate != frozen.winner.candidate:
        both.append(frozen.default)
    models: list[tuple[Path, Refitted]] = []
    reserve_s = cost_model.writing_s(run.state()) / 2
    reserve_s += cost_model.test_scoring_s(run.state(), [t.candidate for t in both])
    for name, trial in zip(("winner", "default"), both, strict=False):
        if models and not _default_fits(run, trial, reserve_s):
            run.listener.note("the untuned default was not refitted: the time left is needed for the test")
            break
        refitted = final_models.train(
            run,
            trial,
            run.rundir.trials / f"final-{name}",
            reserve_s=reserve_s,
            allow_fold_model=name == "winner" or incumbent.fold_model_folder(run.rundir.path, trial) is not None,
            not_refitted=final_models.LIKE_THE_WINNER if models and models[0][1].folds else "",
        )
        if refitted is None:
            run.listener.note("the untuned default was not refitted: it has no test score")
            break
        models.append((run.rundir.trials / f"final-{name}", refitted))
    return models


def _default_fits(run: SearchRun, trial: Trial, reserve_s: float) -> bool:
    """Return True if a head can be refitted beside the winner; a training decides by its own first steps."""
    if not run.facts.has_deadline or run.facts.trains_backbone(trial.candidate):
        return True
    return cost_model.refit_s(run.state(), trial.candidate) + reserve_s <= run.clock.left_s


def _score(
    run: SearchRun,
    models: Sequence[tuple[Path, Refitted]],
    ensemble_folder: Path | None,
    context: result_builder.RunContext,
    scoring: Sequence[Trial],
) -> tuple[Scored | None, str | None, result_builder.RunContext]:
    """Evaluate the held-out test set, once: scores of an earlier process are read. `scoring` are the models' trials."""
    test = context.used.test
    if not test:
        return None, "there is no test set (--test-split none, or too few images for one)", context
    scored = run.rundir.read("test.json", Scored)
    if scored is None:
        _check_unchanged(run, context, (*context.used.pool, *test))
        run.listener.stage(f"evaluating the held-out test set once ({len(test):,} images)")
        job = Score(
            folders=tuple(str(folder) for folder, _ in models),
            ensemble=None if ensemble_folder is None else str(ensemble_folder),
            items=tuple(test),
            first=shortened_test.first_part(run, context, scoring),
            limit_s=run.clock.left_s - cost_model.writing_s(run.state()) if run.facts.has_deadline else None,
            predictions=str(run.rundir.trials / "test.npz"),
        )
        scored = run.ask(job, Scored)
        if scored.first_only:
            context = shortened_test.keep_first_part(run, context)
        run.rundir.write("test.json", scored)
    return scored, None, context


def _result(
    run: SearchRun,
    writer: incumbent.IncumbentWriter,
    frozen: FrozenCandidates,
    models: Sequence[tuple[Path, Refitted]],
    scored: Scored | None,
    reason: str | None,
    ensemble_result: Ensemble | None,
    profile: Profile,
) -> Result:
    """Write recipe, report, card and result beside the model, and move them into place together."""
    staged = run.rundir.staging("final")
    folder, refitted = models[0]
    context, trials = writer.frame, run.study.trials()
    rule = objective_decision.choose_rule(run.rundir.path, frozen.winner, context.objective)
    model_files.copy_model(folder, staged, rule)
    unlike_images = unlike.index(run, frozen.winner, refitted, staged)
    test = scored.scores[0] if scored else None
    costs = deployment.report(run, frozen.winner, staged)
    recipe = result_builder.make_recipe(context, "final", frozen.winner, refitted, test, rule)
    recipe = deployment.with_limits(recipe, costs)
    write_atomically(staged / "recipe.yaml", recipe_file.write(recipe, command=context.settings.command))
    outcome = result_builder.SearchOutcome(
        regime=frozen.regime,
        winner=frozen.winner,
        trials=trials,
        used_s=run.clock.used_s,
        default=frozen.default,
        scored=scored,
        test_reason=reason,
        gain=_gain(run, frozen, scored),
        ties=frozen.ties,
        ensemble=ensemble_result,
        warnings=_warnings(run, frozen.winner, models),
        forgetting=forgetting_budget.measure_winner(run, frozen.winner, refitted, folder),
        **_objective(run, context, frozen, scored, rule),
    )
    files: dict[str, str | None] = {"recipe": "recipe.yaml", "model": "model.safetensors", "report": "report.html"}
    result = result_builder.make_result(context, "final", outcome, files)
    result = replace(_with_search(result, frozen, context), unlike=unlike_images)
    result = insights.with_reliability(result, run.rundir.trials / "test.npz")
    options: dict[str, Any] = {"rule": rule, "duplicates": profile.duplicates}
    result = insights.add(result, run.rundir, context.used, frozen.winner, trials, scored, staged, **options)
    result, pictures = timed_insights.add(result, run, context, frozen.winner, folder)
    insights.add_neighbours(staged, result)
    result = _write_pages(run, context, deployment.add(result, costs), recipe, profile, pictures, staged)
    write_atomically(staged / "result.json", to_json(result))
    run.rundir.adopt(staged)
    shutil.rmtree(staged, ignore_errors=True)
    return result


def _with_search(result: Result, frozen: FrozenCandidates, context: result_builder.RunContext) -> Result:
    """Add why the search ended, what it did not try, how long it was predicted to take and what it had learned before."""
    return replace(
        result,
        stopped_because=frozen.stopped_because,
        untried=frozen.untried,
        budget=replace(result.budget, predicted_s=frozen.predicted_s),
        experience=experience.use(context.experience),
    )


def _objective(
    run: SearchRun,
    context: result_builder.RunContext,
    frozen: FrozenCandidates,
    scored: Scored | None,
    rule: DecisionRule,
) -> dict[str, Any]:
    """Return the fields of an outcome that concern the objective: on the test set, else on validation."""
    path, folder, spec = run.rundir.trials / "test.npz", run.rundir.path, context.objective
    if scored is None:
        return {"objective": objective_decision.score_validation(folder, frozen.winner, spec)}
    fields: dict[str, Any] = {
        "objective": objective_decision.score_test(path, 0, spec, rule),
        "decision": objective_decision.effect(path, rule),
    }
    if frozen.default is not None and len(scored.scores) > 1:
        default_rule = objective_decision.choose_rule(folder, frozen.default, spec)
        fields["baseline_objective"] = objective_decision.score_test(path, 1, spec, default_rule)
    return fields


def _write_pages(
    run: SearchRun,
    context: result_builder.RunContext,
    result: Result,
    recipe: Recipe,
    profile: Profile,
    pictures: timed_insights.Pictures,
    staged: Path,
) -> Result:
    """Write report and model card, and return the result with its final time, which both of them state.

    They are rendered twice: the first time shows how long that takes, so that report, card, result and terminal state the
    same time, at which the second rendering ends.
    """
    name, trials = str(run.rundir.path), [*run.probes, *run.study.trials()]
    images = thumbnails.make(context.dataset.root, thumbnails.shown(result), value_range=context.dataset.value_range)
    terms = licence(context.registry.backbone(result.best.backbone))
    used_s = run.clock.used_s
    for _ in range(2):
        result = result_builder.with_time(result, used_s)
        page = report.render(result, profile, trials, thumbnails=images, run=name, **pictures.shown)
        card = model_card.render(result, recipe, licence=terms, run=name)
        used_s = 2 * run.clock.used_s - used_s  # as long again, from now on
    write_atomically(staged / "report.html", page)
    write_atomically(staged / "README.md", card)
    return result


def _warnings(run: SearchRun, winner: Trial, models: Sequence[tuple[Path, Refitted]]) -> list[str]:
    """List what is unusual about the recommended model and about the default that it is compared with."""
    warnings = [models[0][1].warning] if models[0][1].warning else []
    if not run.facts.is_asked_for(winner.candidate):
        warnings.append(
            "nothing that --strategy or --regime ask for has a result: a head on frozen features is recommended instead"
        )
    if len(models) > 1 and models[1][1].folds:
        warnings.append(
            "the untuned default was not refitted on all images in time: its model from the search was tested"
        )
    return warnings


def licence(backbone: Backbone) -> str:
    """Return the licence of a backbone's pretrained weights, "unknown" where none is stated."""
    used = pretrained_weights.as_weights(backbone)
    return used.licence if used is not None else "unknown"


def _gain(run: SearchRun, frozen: FrozenCandidates, scored: Scored | None) -> Gain | None:
    if scored is None:
        return None
    if len(scored.scores) < 2:
        same = frozen.default is not None and frozen.default.candidate == frozen.winner.candidate
        return Gain(over_baseline=0.0, ci95=(0.0, 0.0), within_noise=True) if same else None
    saved = stored_arrays.read(run.rundir.trials / "test.npz")
    right = saved["logits"].argmax(2) == saved["labels"]
    return objective_decision.compare_on_test(right[0], right[1], saved["groups"])
