"""Trainings that earlier benchmarks recorded at the sizes that people use: their ends alone, beside their probes.

In: guesses.json (../advice/guesses.py) and strategies.jsonl (../strategies/arms.py, the mean over seeds). Out: examples for
fit.py. MobileNetV2 at 64 to 160 px, 680 to 1,020 images, 75 to 370 steps: what the short trainings of record.py cannot show.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "strategies"))
import suites  # noqa: E402 (the folder beside this one is scripts, not a package)
from predictor import Sighting  # noqa: E402

from advisor import registry  # noqa: E402
from advisor.hooks import Context  # noqa: E402
from advisor.models import backbone as backbones  # noqa: E402
from advisor.records import Candidate  # noqa: E402
from advisor.tuning import candidates  # noqa: E402

RESULTS = HERE.parent / "results"
BACKBONE, PUBLISHED = "mobilenet_v2", 0.71878
CLASSES = {"hymenoptera": 2, "sketch": 7, "pacs": 7, "five_flowers": 5, "cifar10": 10, "flowers102": 102}
FOLD_SHARE = 0.8  # of the images, on which a guess was trained
# The arms have a logistic head on all stages beside them and no ridge probe, which is about so much worse (record.py's rows).
RIDGE_OVER_LOGISTIC = 1.05
SUITES = {"each-flowers": "five_flowers", "each-sketches": "sketch", "flowers": "flowers102"}
SUITE_IMAGES = {"each-flowers": 1000, "each-sketches": 680, "flowers": 1020}
Example = tuple[tuple[str, int], Sighting]


@cache
def examples() -> tuple[Example, ...]:
    """List all of them, each with the cell that it belongs to: data set, and images times a hundred plus input size."""
    return (*_guesses(), *_arms())


@cache
def _plugins() -> registry.Registry:
    return registry.load()


def _guesses() -> list[Example]:
    rows = json.loads((RESULTS / "guesses.json").read_text(encoding="utf-8"))
    probes = {(r["data"], r["images"], r["size_px"]): r["log_loss"] for r in rows if r["strategy"] == "ridge"}
    collected = []
    for row in rows:
        setting = (row["data"], row["images"], row["size_px"])
        if row["strategy"] in ("ridge", "logistic") or setting not in probes:
            continue
        train = round(FOLD_SHARE * row["images"])
        epochs = float(row["parameters"].get("epochs", 10.0))
        seen = _sighting(row["data"], row["strategy"], row["parameters"], train, epochs, row["size_px"])
        collected.append(_example(setting, seen, probes[setting], row["log_loss"]))
    return collected


def _arms() -> list[Example]:
    lines = (RESULTS / "strategies.jsonl").read_text(encoding="utf-8").splitlines()
    losses: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in map(json.loads, lines):
        losses[row["key"]["suite"], row["key"]["arm"]].append(row["log_loss"])
    collected = []
    for (name, arm), own in losses.items():
        if name not in SUITES or arm.startswith("extraction") or arm in ("scratch", "discriminative"):
            continue
        suite, train = suites.SUITES[name], SUITE_IMAGES[name]
        head = float(np.mean(losses[name, "extraction, all stages"]))
        chosen = suite.arms.get(arm) or suites.Arm(strategy=arm)  # `full` is the training of `wise_ft`
        parameters = {**_first_guess(chosen, SUITES[name], train, suite.size_px), "epochs": suite.epochs}
        seen = _sighting(SUITES[name], chosen.strategy, parameters, train, suite.epochs, suite.size_px)
        setting = (SUITES[name], train + 1, suite.size_px)
        collected.append(_example(setting, seen, RIDGE_OVER_LOGISTIC * head, float(np.mean(own))))
    return collected


def _first_guess(arm: suites.Arm, data: str, train: int, size_px: int) -> dict[str, Any]:
    strategy, backbone = _plugins().strategy(arm.strategy), _plugins().backbone(BACKBONE)
    classes = CLASSES[data]
    context = Context(
        images=train,
        classes=classes,
        class_counts=(train // classes,) * classes,
        stages=backbones.stage_sizes(backbone),
        has_norm=True,
        dim=backbone.dim,
        size_px=size_px,
    )
    guesses = candidates.guesses(
        {arm.strategy: strategy}, context, backbone=BACKBONE, size_px=size_px, each=arm.guess + 1
    )
    return {**guesses[arm.guess].parameters, **arm.parameters}


def _sighting(
    data: str, strategy: str, parameters: dict[str, Any], train: int, epochs: float, size_px: int
) -> Sighting:
    regime = _plugins().strategy(strategy).regime
    candidate = Candidate(backbone=BACKBONE, strategy=strategy, parameters=parameters, size_px=size_px)
    steps = round(epochs * -(-train // 32))
    return Sighting(
        candidate=candidate,
        regime=regime,
        steps=steps,
        images=train,
        classes=CLASSES[data],
        floor=1.0,
        published=PUBLISHED,
    )


def _example(setting: tuple[str, int, int], seen: Sighting, floor: float, final: float) -> Example:
    from dataclasses import replace

    return (setting[0], 100 * setting[1] + setting[2]), replace(seen, floor=floor, final=final)
