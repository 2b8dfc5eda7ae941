"""Results, profiles and trials as a run could have left them: for the tests of everything that a person sees."""

from __future__ import annotations

import dataclasses
import math
import random

from advisor import records

FINGERPRINT = "3f9a1c" + "0123456789" * 5 + "abcdef12"
NAN = float("nan")


def environment() -> records.Environment:
    """A plain machine."""
    versions = {"python": "3.11.9", "torch": "2.15.0", "torchvision": "0.30.0", "tl-advise": "0.1.0"}
    return records.Environment(
        versions=versions, device="cpu", model="A CPU", threads=2, precision="float32", layout="channels_last"
    )


def names(classes: int) -> tuple[str, ...]:
    """Class names; the first ones try to break a page."""
    first = ("ants", "bees <b>&amp;</b>", 'wasps "and" more', "a_rather_long_name_of_a_class_that_goes_on")
    return (*first, *(f"species {i:03d}" for i in range(classes)))[:classes]


def confusion(classes: int, per_class: int) -> tuple[tuple[int, ...], ...]:
    """A confusion matrix with most of its mass on the diagonal."""
    draw = random.Random(7)
    rows = []
    for i in range(classes):
        row = [0] * classes
        for _ in range(per_class):
            row[i if draw.random() < 0.85 else (i + draw.choice((1, 1, 2, 5))) % classes] += 1
        rows.append(tuple(row))
    return tuple(rows)


def test_score(classes: int, per_class: int) -> records.TestScore:
    """A score on the locked test that agrees with its own confusion matrix."""
    matrix = confusion(classes, per_class)
    n = classes * per_class
    right = sum(matrix[i][i] for i in range(classes))
    taken = [sum(row[j] for row in matrix) for j in range(classes)]
    per = {
        name: records.ClassScore(
            recall=matrix[i][i] / per_class, precision=matrix[i][i] / taken[i] if taken[i] else None, n=per_class
        )
        for i, name in enumerate(names(classes))
    }
    half = 1.96 * math.sqrt(right / n * (1 - right / n) / n)
    return records.TestScore(
        accuracy=right / n,
        ci95=(right / n - half, right / n + half),
        n=n,
        balanced_accuracy=right / n,
        log_loss=0.412,
        per_class=per,
        confusion=matrix,
    )


def profile(classes: int = 4, per_class: int = 60) -> records.Profile:
    """A profile with something to warn of."""
    shown = names(classes)
    counts = {
        "pool": {name: per_class - (i * 7) % 40 for i, name in enumerate(shown)},
        "test": dict.fromkeys(shown, 15),
    }
    pool, test = sum(counts["pool"].values()), sum(counts["test"].values())
    twins = ("ants/1.jpg", "bees/2.jpg")
    sizes = records.Quantiles(low=120, q05=333, median=500, q95=1024, high=4000)
    return records.Profile(
        images=pool + test,
        classes=shown,
        counts=counts,
        imbalance=2.9,
        width=sizes,
        height=sizes,
        aspect=records.Quantiles(low=0.6, q05=0.75, median=1.33, q95=1.6, high=2.1),
        crop_loss=0.246,
        modes={"RGB": pool + test - 3, "L": 3},
        unreadable=(records.Unreadable(path="ants/broken.jpg", reason="truncated file"),),
        duplicates=(records.DuplicateGroup(kind="near", paths=twins, across=True, labels_differ=True),),
        near_checked=True,
        fingerprint=FINGERPRINT,
        split=records.DataSplit(rule="cut", fraction=0.2, pool=pool, test=test),
        training_images=pool,
        warnings=("1 image is in training and in the test: it was taken out of training.",),
    )


def trials(count: int = 24) -> tuple[records.Trial, ...]:
    """A search over strategies of all regimes, with stopped and failed ones."""
    draw = random.Random(3)
    kinds = (("ridge", "feature_extraction"), ("partial", "partial"), ("full", "full"))
    listed = []
    for number in range(count):
        name, regime = kinds[0 if number < 3 else draw.choice((0, 1, 1, 2))]
        state = "failed" if number == 9 else "pruned" if number in (5, 12, 13) else "complete"
        accuracy = min(0.95, 0.82 + 0.004 * number + draw.gauss(0, 0.02))
        score = records.FoldScore(
            fold=0, repeat=0, seed=0, n=204, accuracy=accuracy, log_loss=1.3 * (1 - accuracy) + 0.08
        )
        steps = tuple(range(20, 201, 20)) if name != "ridge" else ()
        curve = records.Curve(
            step=steps,
            train_loss=tuple(1.2 * math.exp(-s / 60) + 0.05 for s in steps),
            log_loss=tuple(0.9 * math.exp(-s / 50) + 0.2 + s / 2000 for s in steps),
            accuracy=tuple(accuracy - 0.3 * math.exp(-s / 50) for s in steps),
        )
        parameters = {"strength": 10.0} if name == "ridge" else {"epochs": 10, "head_lr": 0.0012, "optimizer": "adamw"}
        listed.append(
            records.Trial(
                number=number,
                candidate=records.Candidate(backbone="mobilenet_v2", strategy=name, parameters=parameters),
                regime=regime,
                state=state,
                scores=() if state == "failed" else (score,),
                error="the loss is not a number at step 12 (rate 0.3 is too high)" if state == "failed" else "",
                seconds=2.0 if name == "ridge" else 9.5,
                started_s=8.0 + 7.0 * number,
                steps=200 if steps else 0,
                curve=curve if state != "failed" else records.Curve(),
            )
        )
    return tuple(listed)


def forecast(classes: int = 4) -> records.Forecast:
    """A learning curve that still rises."""
    measured = ((22, 0.70, 0.05), (44, 0.76, 0.04), (88, 0.81, 0.03), (176, 0.85, 0.02))
    expected = ((234, 0.862, 0.02), (468, 0.894, 0.04), (936, 0.917, 0.06))
    rows = [
        tuple(records.AccuracyAt(images=n, accuracy=a, ci95=(a - r, a + r)) for n, a, r in part)
        for part in (measured, expected)
    ]
    return records.Forecast(
        backbone="mobilenet_v2",
        head="ridge",
        repeats=5,
        held_out=58,
        measured=rows[0],
        expected=rows[1],
        gains=(records.ClassGain(label=names(classes)[1], gain=0.11),),
    )


def final(classes: int = 4, per_class: int = 15) -> records.Result:
    """A finished run, with everything that a result can have."""
    test = test_score(classes, per_class)
    lower = dataclasses.replace(test, accuracy=test.accuracy - 0.03, ci95=(test.ci95[0] - 0.03, test.ci95[1] - 0.03))
    best = records.Best(
        backbone="mobilenet_v2", strategy="partial", parameters={"epochs": 10, "head_lr": 0.0012, "k": None}, trial=22
    )
    ridge = records.Best(backbone="mobilenet_v2", strategy="ridge", parameters={"strength": 10.0}, trial=0)
    data = profile(classes)
    return records.Result(
        schema=1,
        status="final",
        dataset=records.DatasetSummary(
            path="photos/insects",
            fingerprint=FINGERPRINT,
            images=data.images,
            classes=data.classes,
            splits={"pool": data.split.pool, "test": data.split.test},
        ),
        regime=records.Regime(
            name="partial",
            reason="The last-block pilot gained 4.1 points over the probe on the same 204 images "
            "(p = 0.003); measurements on your data outweigh the rule of thumb (feature extraction).",
            prior="feature_extraction",
            evidence=(
                records.Evidence(
                    signal="last-block pilot against the probe", value=0.912, reference=0.871, n=204, p=0.003
                ),
                records.Evidence(signal="all stages against the last", value=0.868, reference=0.871, n=204),
            ),
            origin="fewer than 1,000 images: feature extraction (the tutorial rule)",
        ),
        best=best,
        validation=records.ValidationScore(accuracy=0.931, log_loss=0.21, std=0.014, n=204, folds=5),
        test=test,
        test_reason=None,
        baseline=records.Baseline(
            best=ridge,
            validation=records.ValidationScore(accuracy=0.871, log_loss=0.35, std=None, n=204, folds=1),
            test=lower,
        ),
        gain=records.Gain(over_baseline=0.03, ci95=(-0.011, 0.071), within_noise=True),
        ties=(records.Tie(trial=20, backbone="mobilenet_v2", strategy="full", accuracy=0.928),),
        optimism=0.931 - test.accuracy,
        calibration=records.Calibration(ece=0.032, temperature=1.31),
        budget=records.BudgetUse(asked_s=180.0, used_s=176.3),
        trials=records.TrialCounts(complete=20, pruned=3, failed=1),
        left_out=(
            records.LeftOut(
                backbone="resnet50",
                reason="weights not downloaded, and the download server did not respond",
                command="tl-advise weights fetch resnet50",
                count=104,
                bytes=102_530_333,
            ),
        ),
        ensemble=None,
        target=None,
        forgetting=None,
        warnings=("The class ants has 3 test images: its score is uncertain.",),
        files={"recipe": "recipe.yaml", "model": "model.safetensors", "report": "report.html"},
        environment=environment(),
        mistakes=(
            records.Mistake(path="bees/<i>img</i> 1.jpg", label="bees <b>&amp;</b>", predicted="ants", confidence=0.98),
            records.Mistake(path="ants/caf\udce9.jpg", label="ants", predicted='wasps "and" more', confidence=0.61),
        ),
        forecast=forecast(classes),
    )


def provisional() -> records.Result:
    """What stands after the first probe: no test, no default, nothing compared."""
    done = final()
    return dataclasses.replace(
        done,
        status="provisional",
        test=None,
        test_reason="the search has not ended",
        baseline=None,
        gain=None,
        ties=(),
        optimism=None,
        regime=records.Regime(name="feature_extraction", reason="Fewer than 1,000 images.", prior="feature_extraction"),
        validation=records.ValidationScore(accuracy=NAN, log_loss=NAN, std=None, n=0, folds=0),
        calibration=records.Calibration(ece=None, temperature=1.0),
        budget=records.BudgetUse(asked_s=None, used_s=4.2),
        trials=records.TrialCounts(complete=0, pruned=0, failed=0),
        left_out=(),
        warnings=(),
        mistakes=(),
        forecast=None,
    )
