"""A recipe that uses every field."""

from __future__ import annotations

from advisor.records import (
    Compute,
    Environment,
    Head,
    Phase,
    Term,
    TrainPlan,
    ValidationScore,
)
from advisor.records import recipe as recipes

SHA = "0123456789abcdef" * 4


def example() -> recipes.Recipe:
    """A final recipe that uses every field."""
    plugin = recipes.Plugin(distribution="tl-advise", version="0.1.0")
    plan = TrainPlan(
        phases=(Phase(rates={"top": 1e-4}, head_rate=1e-3), Phase(start=40, rates={"top": 1e-4, "stem": 1e-5})),
        head=Head(numbers={"c": 0.1}),
        terms=(Term(function="advisor_strategies.anchored:pull", numbers={"alpha": 0.01}),),
        finish=Term(function="advisor_strategies.anchored:interpolate", numbers={"alpha": 0.5}),
        steps=80,
    )
    data = recipes.Data(
        name="hymenoptera",
        path_hint="photos/hymenoptera",
        fingerprint=SHA,
        images=398,
        classes=("ants", "bees", "no", "1e-4", "2024-01-01", 'a "b": c'),
        split=recipes.Split(rule="given", fraction=0.0, pool=245, test=153, list_sha256=SHA),
    )
    environment = Environment(
        versions={"torch": "2.15.0"},
        device="cpu",
        model="A CPU",
        threads=2,
        precision="float32",
        layout="channels_last",
    )
    outcome = recipes.Outcome(
        validation=ValidationScore(accuracy=0.95, log_loss=0.2, std=0.01, n=245, folds=5),
        test=recipes.TestOutcome(accuracy=0.94, ci95=(0.9, 0.97), n=153, balanced_accuracy=0.93, log_loss=0.21),
        weights_sha256=SHA,
        environment=environment,
        seconds=12.5,
    )
    return recipes.Recipe(
        schema=1,
        status="final",
        created_by="tl-advise 0.1.0",
        data=data,
        backbone=recipes.BackboneUse(
            name="mobilenet_v2",
            plugin=plugin,
            weights=recipes.WeightsFile(file="mobilenet_v2-b0353104.pth", sha256=SHA),
        ),
        input=recipes.Input(
            size_px=224,
            resize_px=256,
            interpolation="bilinear",
            fit="crop",
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        ),
        strategy=recipes.StrategyUse(
            name="partial", plugin=plugin, parameters={"head_lr": 1e-05, "epochs": 10, "optimizer": "sgd", "pad": None}
        ),
        training=recipes.Training(steps=80, epochs=10.0, batch=32),
        seed=0,
        compute=Compute(threads=2),
        validation=recipes.Validation(folds=5, scored=(0, 1), procedure=2),
        fitted=recipes.Fitted(temperature=1.21, numbers={"alpha": 0.5}),
        plan=plan,
        outcome=outcome,
    )
