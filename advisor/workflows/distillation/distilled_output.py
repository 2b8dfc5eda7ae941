"""The run directory of a distillation: recipe, result, report and card of the student, and its gain over plain training.

In: both trained students with their scores. Out: the files of a run, the result last. Does NOT cover: training
(`distilled_run`), the words (`reporting.parts.distilled`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.data import splits
from advisor.errors import AdviseError
from advisor.execution.worker import Worker
from advisor.exporting.latency import THREADS
from advisor.metrics import classification, intervals
from advisor.metrics.decision_rule import MOST_PROBABLE
from advisor.models import model_files
from advisor.records import Baseline, Distillation, Environment, Gain, Result, recipe_file
from advisor.records.limits import CostedModel, GraphCost, LimitsReport
from advisor.records.messages import GraphMeasured, MeasureGraph
from advisor.records.objective import ObjectiveSpec
from advisor.records.recipe import Recipe, TeacherUse, UnlabelledUse
from advisor.runtime import stored_arrays
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.runtime.progress import Listener
from advisor.selection import deployment, objective_decision, result_builder
from advisor.selection.result_builder import RunContext
from advisor.tuning.limits.graph_costs import CostTable
from advisor.workflows import rerun_output
from advisor.workflows.distillation import teacher
from advisor.workflows.rerun_output import Measured, Retrained

if TYPE_CHECKING:
    from advisor.workflows.distillation.distilled_run import Opened

REASON = "named on the command line: it learned from the model of"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known beside the two models: where it ran, the hash of the answers, the table of costs, seconds used."""

    environment: Environment
    answers_sha256: str
    costs: CostTable
    used_s: float


def write(
    folder: Path,
    opened: Opened,
    worker: Worker,
    taught: Retrained,
    plain: Retrained,
    facts: Facts,
    listener: Listener,
) -> Result:
    """Write everything beside the taught student's model in `folder`; return the result."""
    context = _context(opened, taught, facts)
    rule = objective_decision.choose_rule(folder, taught.trial, context.objective)
    if rule != MOST_PROBABLE:
        model_files.add_decision(folder, rule)
    test = taught.scored.scores[0] if taught.scored else None
    written = result_builder.make_recipe(context, "final", taught.trial, taught.refitted, test, rule)
    written = replace(written, teacher=_teacher_use(opened, facts))
    splits.write_csv(context.dataset, folder / "splits.csv")
    if context.dataset.relabelled is not None:
        rerun_output.copy_corrections(context, opened.run, folder)
    limits = _limits(folder, opened, worker, taught, facts, listener)
    written = deployment.with_limits(written, limits) if limits else written
    command = f"tl-advise distill {shlex.quote(str(opened.run))}"
    write_atomically(folder / "recipe.yaml", recipe_file.write(written, command=command))
    index = rerun_output.index(worker, folder, opened.settings.seed, taught, listener)
    measured = Measured(opened.profile, index, None, facts.used_s)
    result = rerun_output.make_result(folder, context, taught, written, measured, "final")
    result = replace(result, distillation=_compare(folder, opened, plain))
    result = deployment.add(result, limits) if limits else result
    rerun_output.write_pages(folder, context, result, written, taught.trial, opened.profile)
    write_atomically(folder / "result.json", to_json(result))
    return result


def _context(opened: Opened, taught: Retrained, facts: Facts) -> RunContext:
    context = rerun_output.context_of(
        opened.settings,
        opened.recipe,
        opened.dataset,
        opened.profile,
        opened.sample,
        taught.trial,
        opened.plugins,
        facts.environment,
    )
    regime = replace(context.regime, reason=f"{REASON} {opened.run}")
    return replace(context, regime=regime, objective=opened.recipe.objective or ObjectiveSpec())


def _teacher_use(opened: Opened, facts: Facts) -> TeacherUse:
    use = None
    if opened.target is not None:
        use = UnlabelledUse(
            path_hint=opened.target.root,
            fingerprint=opened.target.fingerprint,
            images=len(opened.target.items),
        )
    return TeacherUse(
        run_hint=str(opened.run),
        backbone=opened.teacher.classifier.backbone.name,
        weights_sha256=opened.teacher.description["weights_sha256"],
        file=teacher.FILE,
        file_sha256=facts.answers_sha256,
        unlabelled=use,
    )


def _compare(folder: Path, opened: Opened, plain: Retrained) -> Distillation:
    """Return the gain over plain training, paired on the test images, those of one group together."""
    gain = log_loss_gain = None
    if plain.scored is not None:
        saved = stored_arrays.read(folder / "trials" / "test.npz")
        logits, labels, groups = saved["logits"], saved["labels"], saved["groups"]
        right = logits.argmax(2) == labels
        gain = objective_decision.compare_on_test(right[0], right[1], groups)
        if intervals.enough_groups(groups):
            losses = [classification.item_log_loss(each, labels) for each in logits[:2]]
            low, high = intervals.paired_bootstrap(losses[1], losses[0], groups=groups)
            lower = float(losses[1].mean() - losses[0].mean())
            log_loss_gain = Gain(over_baseline=lower, ci95=(low, high), within_noise=bool(low <= 0.0 <= high))
    return Distillation(
        teacher=str(opened.run),
        teacher_backbone=opened.teacher.classifier.backbone.name,
        teacher_size_px=opened.teacher.size_px,
        teacher_weights_sha256=opened.teacher.description["weights_sha256"],
        teacher_test=_teacher_test(opened.recipe),
        unlabelled=len(opened.target.items) if opened.target else 0,
        plain=Baseline(
            best=result_builder.describe_best(plain.trial),
            validation=result_builder.validation_score(plain.trial),
            test=plain.scored.scores[1] if plain.scored else None,
        ),
        gain=gain,
        log_loss_gain=log_loss_gain,
    )


def _teacher_test(recipe: Recipe) -> float | None:
    return recipe.outcome.test.accuracy if recipe.outcome and recipe.outcome.test else None


def _limits(
    folder: Path, opened: Opened, worker: Worker, taught: Retrained, facts: Facts, listener: Listener
) -> LimitsReport | None:
    """Measure the student's exported graph where there is a limit; None without one."""
    settings, table = opened.settings, facts.costs
    if not table.limited:
        return None
    listener.stage("measuring the exported model on one thread")
    try:
        cost = worker.ask(MeasureGraph(folder=str(folder)), GraphMeasured, listener.progress).cost
    except AdviseError as error:
        listener.note(f"the exported model was not measured: {error.what}")
        cost = GraphCost(ms=None, mb=None)
    candidate, trial = taught.trial.candidate, taught.trial
    model = CostedModel(
        trial=trial.number,
        backbone=candidate.backbone,
        size_px=candidate.size_px or 0,
        strategy=candidate.strategy,
        accuracy=trial.accuracy,
        loss=trial.log_loss,
        cost=cost,
        efficient=True,
        shipped=True,
    )
    return LimitsReport(
        max_ms=settings.max_ms, max_mb=settings.max_mb, threads=THREADS, cost=cost, models=(model,), without=None
    )
