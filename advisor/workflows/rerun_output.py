"""The run that a rerun leaves with `--out`: recipe, result, report, card and splits beside the retrained model.

In: the trained model of the recipe's first seed, with its validation and its test score. Out: the files of a run, from
which export, evaluate, predict and another rerun go on. What only a search finds (default, gain, ties, forecast, costs) is
None. Does NOT cover: training and scoring (`rerun`), adaptations.
"""

from __future__ import annotations

import shlex
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from advisor._version import __version__
from advisor.data import splits
from advisor.data.remote import urls
from advisor.data.subsample import Subsample
from advisor.data.tables import corrections
from advisor.execution.worker import Worker
from advisor.metrics.decision_rule import MOST_PROBABLE
from advisor.records import (
    Dataset,
    Environment,
    Forgetting,
    Profile,
    Regime,
    Result,
    Settings,
    Trial,
    UnlikeImages,
    recipe_file,
)
from advisor.records.messages import Refitted, Scored
from advisor.records.recipe import Recipe
from advisor.records.trials import RunStatus
from advisor.registry import Registry
from advisor.reporting import model_card, report, thumbnails
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.selection import insights, objective_decision, result_builder, run_end
from advisor.selection.measurements import unlike
from advisor.selection.result_builder import RunContext
from advisor.workflows.distillation import recorded_answers

FILES: dict[str, str | None] = {"recipe": "recipe.yaml", "model": "model.safetensors", "report": "report.html"}
NO_TEST = "the data have no test set, or the recipe is provisional: the validation was repeated"


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """The model of one seed: its validation, how it was trained, and its test score if there is a test set."""

    trial: Trial
    refitted: Refitted
    scored: Scored | None


@dataclass(frozen=True)
class Measured:
    """Facts about a rerun that are measured beside its score. `used_s` is what the whole rerun took."""

    profile: Profile
    unlike: UnlikeImages | None
    forgetting: Forgetting | None
    used_s: float


def begin(out: Path | None, data: Path, stack: ExitStack) -> Path:
    """Return the new folder that a rerun writes into, `out` or a temporary one; it is held until `stack` is closed.

    Raises OutputError where `out` holds something already, InputError where another process writes into it.
    """
    if out is None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tl-advise-rerun-")))
        (folder / "trials").mkdir()
        return folder
    return stack.enter_context(RunDir.create(out, data=urls.public_path(data)).filled())


def regime_of(trial: Trial) -> Regime:
    """Return the regime of a retrained candidate: the recipe's, which no evidence on these data decided."""
    return Regime(name=trial.regime, reason="as in the recipe that was rerun", prior=trial.regime)


def context_of(
    settings: Settings,
    recipe: Recipe,
    data_set: Dataset,
    measured: Profile,
    used: Subsample,
    trial: Trial,
    plugins: Registry,
    machine: Environment,
) -> RunContext:
    """Return what recipe and result of a rerun share; `settings.data` is the path as it was given or recorded."""
    settings = replace(
        settings, created_by=__version__, budget_s=None, trials=1, remove_leaks=recipe.data.leaks_removed
    )
    return RunContext(
        settings=settings,
        dataset=data_set,
        used=used,
        regime=regime_of(trial),
        registry=plugins,
        environment=machine,
        folds=recipe.validation.folds,
        warnings=(*measured.warnings, *used.warnings),
        left_out=(),
    )


def index(worker: Worker, folder: Path, seed: int, made: Retrained, listener: Listener) -> UnlikeImages | None:
    """Write the index of training images beside the model, and return its record; None where it cannot be had."""
    is_tested = made.scored is not None
    return unlike.index_rerun(worker, folder, seed, made.refitted.folds, is_only=is_tested, listener=listener)


def write(
    folder: Path, source: Path, recipe: Recipe, context: RunContext, made: Retrained, measured: Measured
) -> Result:
    """Write the run beside the model in `folder`, the result last; `source` is the recipe that was rerun."""
    same_data = context.dataset.fingerprint == recipe.data.fingerprint
    status: RunStatus = "provisional" if made.scored is None and recipe.status == "provisional" else "final"
    if same_data and recipe.objective is not None:
        context = replace(context, objective=recipe.objective)
    written = _recipe(recipe, context, made, status, same_data=same_data)
    splits.write_csv(context.dataset, folder / "splits.csv")
    if context.dataset.relabelled is not None:
        copy_corrections(context, source, folder)
    recorded_answers.copy(source, recipe, folder)
    command = f"tl-advise rerun {shlex.quote(str(source))}"
    write_atomically(folder / "recipe.yaml", recipe_file.write(written, command=command))
    result = make_result(folder, context, made, written, measured, status)
    write_pages(folder, context, result, written, made.trial, measured.profile)
    write_atomically(folder / "result.json", to_json(result))
    return result


def _recipe(recipe: Recipe, context: RunContext, made: Retrained, status: RunStatus, *, same_data: bool) -> Recipe:
    """Return the recipe of the retrained model; the numbers that were fitted out of fold stay those it was trained with."""
    test = made.scored.scores[0] if made.scored else None
    rule = recipe.decision if same_data else None
    written = result_builder.make_recipe(context, status, made.trial, made.refitted, test, rule)
    fitted = replace(recipe.fitted, temperature=_temperature(recipe, made, same_data=same_data))
    return replace(written, decision=rule, fitted=fitted, teacher=recipe.teacher)


def _temperature(recipe: Recipe, made: Retrained, *, same_data: bool) -> float:
    return recipe.fitted.temperature if same_data and made.scored else made.trial.temperature


def make_result(
    folder: Path, context: RunContext, made: Retrained, written: Recipe, measured: Measured, status: RunStatus
) -> Result:
    """Return the result of a model that no search chose; `written` is its recipe."""
    rule, path = written.decision or MOST_PROBABLE, folder / "trials" / "test.npz"
    trial = replace(made.trial, temperature=written.fitted.temperature)
    outcome = result_builder.SearchOutcome(
        regime=context.regime,
        winner=trial,
        trials=(trial,),
        used_s=measured.used_s,
        scored=made.scored,
        test_reason=None if made.scored else NO_TEST,
        forgetting=measured.forgetting,
        warnings=[made.refitted.warning] if made.refitted.warning else [],
        objective=objective_decision.score_test(path, 0, context.objective, rule)
        if made.scored
        else objective_decision.score_validation(folder, trial, context.objective),
        decision=objective_decision.effect(path, rule) if made.scored else None,
    )
    result = replace(result_builder.make_result(context, status, outcome, FILES), unlike=measured.unlike)
    result = insights.with_reliability(result, path)
    duplicates = measured.profile.duplicates
    return insights.add(
        result, RunDir(folder), context.used, trial, (trial,), made.scored, folder, rule=rule, duplicates=duplicates
    )


def copy_corrections(context: RunContext, source: Path, folder: Path) -> None:
    """Copy the table of corrected labels, which a rerun of this run looks for beside the recipe."""
    table = Path(context.settings.relabel) if context.settings.relabel else None
    table = table or (source if source.is_dir() else source.parent) / corrections.COPY
    write_atomically(folder / corrections.COPY, table.read_text(encoding="utf-8", errors="surrogateescape"))


def write_pages(
    folder: Path, context: RunContext, result: Result, written: Recipe, trial: Trial, profile: Profile
) -> None:
    """Write the report and the model card of a result."""
    name, value_range = str(folder), context.dataset.value_range
    pictures = thumbnails.make(context.dataset.root, thumbnails.shown(result), value_range=value_range)
    licence = run_end.licence(context.registry.backbone(result.best.backbone))
    write_atomically(folder / "report.html", report.render(result, profile, (trial,), thumbnails=pictures, run=name))
    write_atomically(folder / "README.md", model_card.render(result, written, licence=licence, run=name))
