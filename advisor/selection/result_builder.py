"""Records -> the recipe and the result of a run. Pure: it assembles what other modules decided.

In: a `RunContext` and a `SearchOutcome`. Out: `Recipe`, `Result`. Does NOT cover: writing them (`incumbent`, `run_end`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from advisor.data.remote import urls
from advisor.data.splits import split_list_sha256
from advisor.data.subsample import Subsample
from advisor.hooks import Backbone
from advisor.models import weight_sources
from advisor.records import (
    Baseline,
    Best,
    BudgetUse,
    Calibration,
    Dataset,
    DatasetSummary,
    Ensemble,
    Environment,
    Experience,
    Forgetting,
    Gain,
    LeftOut,
    Regime,
    Result,
    Settings,
    TestScore,
    Tie,
    Trial,
    TrialCounts,
    ValidationScore,
    recipe,
)
from advisor.records.messages import Refitted, Scored
from advisor.records.objective import DecisionEffect, DecisionRule, ObjectiveScore, ObjectiveSpec
from advisor.records.trials import RunStatus
from advisor.registry import Registry
from advisor.tuning import experience

OVER_BUDGET = "the run exceeded its budget of"
STATED_OVER_S = 0.5  # from which on a run says that it exceeded its budget


def validation_score(trial: Trial) -> ValidationScore:
    """Summarise a trial's validation scores; `std` is over folds and repeats, None if there is only one."""
    import statistics

    each = [s.accuracy for s in trial.scores]
    return ValidationScore(
        accuracy=trial.accuracy,
        log_loss=trial.log_loss,
        std=statistics.stdev(each) if len(each) > 1 else None,
        n=sum(s.n for s in trial.scores if s.repeat == trial.scores[0].repeat),
        folds=len(each),
    )


def describe_best(trial: Trial) -> Best:
    """Describe the recommended trial; a probe (not a trial of the study) has a negative number."""
    c = trial.candidate
    return Best(backbone=c.backbone, strategy=c.strategy, parameters=dict(c.parameters), trial=trial.number)


def describe_tie(trial: Trial) -> Tie:
    """Describe a trial that is statistically tied with the winner, or a member of the ensemble."""
    c = trial.candidate
    return Tie(trial=trial.number, backbone=c.backbone, strategy=c.strategy, accuracy=trial.accuracy)


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What every recipe and result of one run share, known before the first probe; `read_at_s` is from time.time()."""

    settings: Settings
    dataset: Dataset
    used: Subsample
    regime: Regime
    registry: Registry
    environment: Environment
    folds: int
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    read_at_s: float = 0.0
    objective: ObjectiveSpec = field(default_factory=ObjectiveSpec)
    experience: Experience = field(default_factory=Experience)


def make_recipe(
    frame: RunContext,
    status: RunStatus,
    trial: Trial,
    refitted: Refitted,
    test: TestScore | None,
    decision: DecisionRule | None = None,
) -> recipe.Recipe:
    """Return the recipe: everything that a rerun needs, and its outcome (docs/design.md 3.4)."""
    backbone = frame.registry.backbone(trial.candidate.backbone)
    scored = tuple(s.fold for s in trial.scores if s.repeat == 0)
    return recipe.Recipe(
        schema=recipe.SCHEMA,
        status=status,
        created_by=f"tl-advise {frame.settings.created_by}",
        data=_data(frame),
        backbone=_backbone_use(backbone, frame.registry, refitted, frame.settings.weights_dir),
        input=replace(_input(backbone, trial, refitted), value_range=frame.dataset.value_range),
        strategy=recipe.StrategyUse(
            name=trial.candidate.strategy,
            plugin=_plugin(frame.registry, trial.candidate.strategy),
            parameters=dict(trial.candidate.parameters),
        ),
        training=recipe.Training(
            steps=refitted.steps,
            epochs=round(refitted.epochs, 6),
            batch=refitted.plan.batch,
            fold=refitted.folds[0] if len(refitted.folds) == 1 else None,
            mean_of_folds=refitted.folds if len(refitted.folds) > 1 else None,
        ),
        seed=frame.settings.seed,
        compute=refitted.compute,
        validation=recipe.Validation(folds=frame.folds, scored=scored, procedure=frame.settings.procedure),
        fitted=recipe.Fitted(temperature=trial.temperature, numbers=dict(trial.fitted)),
        plan=refitted.plan,
        outcome=recipe.Outcome(
            validation=validation_score(trial),
            test=None if test is None else _test_outcome(test),
            weights_sha256=refitted.weights_sha256,
            environment=frame.environment,
            seconds=round(refitted.seconds, 1),
        ),
        devices=frame.settings.devices if frame.settings.devices > 1 and refitted.plan.phases else None,
        objective=frame.objective if frame.objective.name != "log_loss" else None,
        decision=decision if decision != DecisionRule() else None,
        experience=experience.use(frame.experience),
    )


def _test_outcome(test: TestScore) -> recipe.TestOutcome:
    return recipe.TestOutcome(
        accuracy=test.accuracy,
        ci95=test.ci95,
        n=test.n,
        balanced_accuracy=test.balanced_accuracy,
        log_loss=test.log_loss,
    )


def _data(frame: RunContext) -> recipe.Data:
    data_set = frame.dataset
    public = urls.public(frame.settings.data)
    return recipe.Data(
        name=Path(public if urls.is_url(public) else data_set.root).name,
        path_hint=public,
        fingerprint=data_set.fingerprint,
        images=len(data_set.items),
        classes=data_set.classes,
        split=recipe.Split(
            rule=data_set.split.rule,
            fraction=data_set.split.fraction,
            pool=data_set.split.pool,
            test=data_set.split.test,
            list_sha256=split_list_sha256(data_set),
        ),
        leaks_removed=frame.settings.remove_leaks,
        pool_sample=frame.used.pool_sample,
        test_sample=frame.used.test_sample,
        reading=frame.settings.reading,
        relabelled=data_set.relabelled,
        joined=data_set.joined,
    )


def _plugin(registry: Registry, name: str) -> recipe.Plugin:
    distribution, version = registry.origin(name)
    return recipe.Plugin(distribution=distribution, version=version)


def _backbone_use(
    backbone: Backbone, registry: Registry, refitted: Refitted, weights_dir: str | None
) -> recipe.BackboneUse:
    scratch = refitted.plan.from_scratch
    file = backbone.weights if isinstance(backbone.weights, str) else getattr(backbone.weights, "file", "") or ""
    commit = "" if scratch else weight_sources.revision(backbone, weights_dir=weights_dir)
    weights = recipe.WeightsFile(file=Path(file).name, sha256=refitted.pretrained_sha256, revision=commit)
    return recipe.BackboneUse(
        name=backbone.name,
        plugin=_plugin(registry, backbone.name),
        weights=None if scratch else weights,
        from_scratch=scratch,
    )


def _input(backbone: Backbone, trial: Trial, refitted: Refitted) -> recipe.Input:
    prepare = backbone.preprocess
    return recipe.Input(
        size_px=trial.candidate.size_px or prepare.size,
        resize_px=refitted.resize_px,
        interpolation=prepare.interpolation,
        fit=refitted.plan.fit,
        mean=prepare.mean,
        std=prepare.std,
    )


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """The outcome of a search: the winner with its scores, and everything that it is compared with."""

    regime: Regime
    winner: Trial
    trials: Sequence[Trial]
    used_s: float
    default: Trial | None = None
    scored: Scored | None = None
    test_reason: str | None = None
    gain: Gain | None = None
    ties: Sequence[Trial] = ()
    ensemble: Ensemble | None = None
    warnings: Sequence[str] = ()
    forgetting: Forgetting | None = None
    objective: ObjectiveScore | None = None
    baseline_objective: ObjectiveScore | None = None
    decision: DecisionEffect | None = None


def make_result(frame: RunContext, status: RunStatus, outcome: SearchOutcome, files: dict[str, str | None]) -> Result:
    """Assemble the result (docs/design.md 3.2)."""
    scored, winner = outcome.scored, outcome.winner
    test = scored.scores[0] if scored else None
    states = [t.state for t in outcome.trials]
    result = Result(
        schema=1,
        status=status,
        dataset=_summary(frame),
        regime=outcome.regime,
        best=describe_best(winner),
        validation=validation_score(winner),
        test=test,
        test_reason=outcome.test_reason,
        baseline=_baseline(outcome),
        gain=outcome.gain,
        ties=tuple(describe_tie(t) for t in outcome.ties),
        optimism=max(t.accuracy for t in [winner, *outcome.trials] if t.scores) - test.accuracy if test else None,
        calibration=Calibration(ece=scored.ece[0] if scored else None, temperature=winner.temperature),
        budget=BudgetUse(asked_s=frame.settings.budget_s, used_s=outcome.used_s),
        trials=TrialCounts(
            complete=states.count("complete"), pruned=states.count("pruned"), failed=states.count("failed")
        ),
        left_out=frame.left_out,
        ensemble=outcome.ensemble,
        target=None,
        forgetting=outcome.forgetting,
        warnings=(*frame.warnings, *outcome.warnings),
        files=files,
        environment=frame.environment,
        mistakes=scored.mistakes if scored else (),
        objective=outcome.objective,
        baseline_objective=outcome.baseline_objective,
        decision=outcome.decision,
        relabelled=frame.dataset.relabelled,
        joined=frame.dataset.joined_counts,
    )
    return with_time(result, outcome.used_s)


def with_time(result: Result, used_s: float) -> Result:
    """Return a result that states the time used; if it exceeds the budget, by how much, and a warning."""
    asked_s, used_s = result.budget.asked_s, round(used_s, 2)
    over_s = round(max(0.0, used_s - asked_s), 2) if asked_s is not None else 0.0
    warnings = [w for w in result.warnings if not w.startswith(OVER_BUDGET)]
    if asked_s is not None and over_s >= STATED_OVER_S:
        warnings.append(f"{OVER_BUDGET} {asked_s:.0f} s by {over_s:.1f} s: it took {used_s:.1f} s")
    budget = replace(result.budget, used_s=used_s, over_s=over_s)
    return replace(result, budget=budget, warnings=tuple(warnings))


def _summary(frame: RunContext) -> DatasetSummary:
    return DatasetSummary(
        path=urls.public(frame.settings.data),
        fingerprint=frame.dataset.fingerprint,
        images=len(frame.dataset.items),
        classes=frame.dataset.classes,
        splits={"pool": frame.dataset.split.pool, "test": frame.dataset.split.test},
    )


def _baseline(outcome: SearchOutcome) -> Baseline | None:
    if outcome.default is None:
        return None
    scores = outcome.scored.scores if outcome.scored else ()
    same = outcome.default.candidate == outcome.winner.candidate
    test = scores[0] if same and scores else scores[1] if len(scores) > 1 else None
    return Baseline(best=describe_best(outcome.default), validation=validation_score(outcome.default), test=test)
