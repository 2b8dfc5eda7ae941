"""Records -> the recipe and the result that a person keeps. Pure: what was decided elsewhere is only put together here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor import intervals, recipe
from advisor.hooks import Backbone
from advisor.records import (
    Baseline,
    Best,
    BudgetUse,
    Calibration,
    Dataset,
    DatasetSummary,
    Environment,
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
)
from advisor.records.jobs import Refitted, Scored
from advisor.registry import Registry
from advisor.sampling import Used


def validation(trial: Trial) -> ValidationScore:
    """Summarise a trial's validation scores; `std` is over folds and repeats, None where there is one."""
    import statistics

    each = [s.accuracy for s in trial.scores]
    return ValidationScore(
        accuracy=trial.accuracy,
        log_loss=trial.log_loss,
        std=statistics.stdev(each) if len(each) > 1 else None,
        n=sum(s.n for s in trial.scores if s.repeat == trial.scores[0].repeat),
        folds=len(each),
    )


def best(trial: Trial) -> Best:
    """Name what was tried; a probe (which is no trial of the study) has its number below zero."""
    c = trial.candidate
    return Best(backbone=c.backbone, strategy=c.strategy, parameters=dict(c.parameters), trial=trial.number)


def make_recipe(
    *,
    status: str,
    settings: Settings,
    dataset: Dataset,
    used: Used,
    trial: Trial,
    refitted: Refitted,
    registry: Registry,
    environment: Environment,
    folds: int,
    fitted: dict[str, float],
    temperature: float,
    test: TestScore | None,
    ensemble: dict[str, Any] | None = None,
) -> recipe.Recipe:
    """Write down everything that a rerun needs, and what came out (DESIGN 3.4)."""
    backbone = registry.backbone(trial.candidate.backbone)
    return recipe.Recipe(
        schema=recipe.SCHEMA,
        status=status,
        created_by=f"tl-advise {settings.created_by}",
        data=_data(dataset, settings, used),
        backbone=_backbone_use(backbone, registry, refitted),
        input=_input(backbone, trial, refitted),
        strategy=recipe.StrategyUse(
            name=trial.candidate.strategy,
            plugin=_plugin(registry, trial.candidate.strategy),
            parameters=dict(trial.candidate.parameters),
        ),
        training=recipe.Training(steps=refitted.steps, epochs=round(refitted.epochs, 6), batch=refitted.plan.batch),
        seed=settings.seed,
        compute=refitted.compute,
        validation=recipe.Validation(folds=folds, scored=tuple(s.fold for s in trial.scores if s.repeat == 0)),
        fitted=recipe.Fitted(temperature=temperature, numbers=fitted),
        plan=refitted.plan,
        outcome=recipe.Outcome(
            validation=validation(trial),
            test=None
            if test is None
            else recipe.TestOutcome(
                accuracy=test.accuracy,
                ci95=test.ci95,
                n=test.n,
                balanced_accuracy=test.balanced_accuracy,
                log_loss=test.log_loss,
            ),
            weights_sha256=refitted.weights_sha256,
            environment=environment,
            seconds=round(refitted.seconds, 1),
        ),
        ensemble=ensemble,
    )


def split_list_sha256(dataset: Dataset) -> str:
    """Hash which image is in which split, by content and label, so that two lists can be told apart without showing them."""
    digest = hashlib.sha256()
    for line in sorted(f"{i.split}\t{dataset.classes[i.label]}\t{i.sha256}" for i in dataset.items):
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _data(dataset: Dataset, settings: Settings, used: Used) -> recipe.Data:
    return recipe.Data(
        name=Path(dataset.root).name,
        path_hint=settings.data,
        fingerprint=dataset.fingerprint,
        images=len(dataset.items),
        classes=dataset.classes,
        split=recipe.Split(
            rule=dataset.split.rule,
            fraction=dataset.split.fraction,
            pool=dataset.split.pool,
            test=dataset.split.test,
            list_sha256=split_list_sha256(dataset),
        ),
        leaks_removed=settings.remove_leaks,
        pool_sample=used.pool_sample,
        test_sample=used.test_sample,
    )


def _plugin(registry: Registry, name: str) -> recipe.Plugin:
    distribution, version = registry.origin(name)
    return recipe.Plugin(distribution=distribution, version=version)


def _backbone_use(backbone: Backbone, registry: Registry, refitted: Refitted) -> recipe.BackboneUse:
    file = backbone.weights if isinstance(backbone.weights, str) else getattr(backbone.weights, "file", "") or ""
    used = (
        None
        if refitted.plan.from_scratch
        else recipe.WeightsFile(file=Path(file).name, sha256=refitted.pretrained_sha256)
    )
    return recipe.BackboneUse(
        name=backbone.name,
        plugin=_plugin(registry, backbone.name),
        weights=used,
        from_scratch=refitted.plan.from_scratch,
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


def gain(winner: Sequence[bool], default: Sequence[bool], groups: Sequence[str] | None = None) -> Gain:
    """Compare two models on the same test images; `within_noise` where the 95 % interval of the difference holds zero."""
    import numpy as np

    a, b = np.asarray(winner, dtype=float), np.asarray(default, dtype=float)
    low, high = intervals.paired_bootstrap(a, b)
    return Gain(over_baseline=float(a.mean() - b.mean()), ci95=(low, high), within_noise=bool(low <= 0.0 <= high))


def make_result(
    *,
    status: str,
    settings: Settings,
    dataset: Dataset,
    regime: Regime,
    winner: Trial,
    default: Trial | None,
    temperature: float,
    scored: Scored | None,
    test_reason: str | None,
    test_gain: Gain | None,
    ties: Sequence[Trial],
    trials: Sequence[Trial],
    used_s: float,
    left_out: Sequence[LeftOut],
    warnings: Sequence[str],
    files: dict[str, str | None],
    environment: Environment,
    ensemble: dict[str, Any] | None = None,
) -> Result:
    """Put the whole answer together (DESIGN 3.2)."""
    test = scored.scores[0] if scored else None
    baseline = None
    if default is not None:
        index = 1 if scored and len(scored.scores) > 1 else 0
        same_or_known = scored.scores[index] if scored else None
        baseline = Baseline(best=best(default), validation=validation(default), test=same_or_known)
    states = [t.state for t in trials]
    return Result(
        schema=1,
        status=status,
        dataset=DatasetSummary(
            path=settings.data,
            fingerprint=dataset.fingerprint,
            images=len(dataset.items),
            classes=dataset.classes,
            splits={"pool": dataset.split.pool, "test": dataset.split.test},
        ),
        regime=regime,
        best=best(winner),
        validation=validation(winner),
        test=test,
        test_reason=test_reason,
        baseline=baseline,
        gain=test_gain,
        ties=tuple(
            Tie(trial=t.number, backbone=t.candidate.backbone, strategy=t.candidate.strategy, accuracy=t.accuracy)
            for t in ties
        ),
        optimism=max(t.accuracy for t in [winner, *trials] if t.scores) - test.accuracy if test else None,
        calibration=Calibration(ece=scored.ece[0] if scored else None, temperature=temperature),
        budget=BudgetUse(asked_s=settings.budget_s, used_s=round(used_s, 2)),
        trials=TrialCounts(
            complete=states.count("complete"), pruned=states.count("pruned"), failed=states.count("failed")
        ),
        left_out=tuple(left_out),
        ensemble=ensemble,
        target=None,
        forgetting=None,
        warnings=tuple(warnings),
        files=files,
        environment=environment,
        mistakes=scored.mistakes if scored else (),
    )
