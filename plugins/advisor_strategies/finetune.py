"""Fine-tuning by gradient: the last stages or all of them, with rates that fall from head to stem.

Strategies `partial` and `full`, and `Tuning`, the base that the other trained strategies of this package build on: the
shared knobs, completed parameters, a plan from phases. The loop is the core's; here is only what to ask of it.
Sources: see each card; layer-wise rates, Clark et al. 2020 (2003.10555); BiT-HyperRule, Kolesnikov et al. 2019
(1912.11370); AutoMM's presets, Tang et al. 2024 (2404.16233).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from advisor import schedules
from advisor.hooks import Card, Context, Parameter, Phase, Space, TrainPlan
from advisor_strategies import knobs


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A trained strategy: give it a card and phases; the rest has defaults."""

    name: str
    regime: str
    card: Card

    def applies(self, context: Context) -> str | None:
        """Apply wherever there is anything to train."""
        return None if knobs.trained_stages(context) else "the network has no trainable parameters"

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Return the phases: which stages train from which step on."""
        rates = schedules.layer_decay(knobs.trained_stages(context), knobs.rate(p), p.get("layer_decay", 1.0))
        return knobs.unfrozen(p, rates, context)

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Return further fields of the plan."""
        return {}

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw what only this strategy has."""
        return {}

    def draw_shared(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw what all trained strategies have."""
        return knobs.draw(trial, context)

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return known-good parameters, best first, as differences from the defaults."""
        return ({},)

    def space(self, trial: Space, context: Context) -> Mapping[str, Any]:
        """Draw the shared knobs and the strategy's own."""
        drawn = {**self.draw_own(trial, context), **self.draw_shared(trial, context)}
        return knobs.complete(drawn, self.card.parameters)

    def first_guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return complete parameters of the known-good guesses; the first is the untuned default."""
        usual = {"epochs": knobs.epochs_for(context)}
        complete = [knobs.complete({**usual, **guess}, self.card.parameters) for guess in self.guesses(context)]
        return knobs.with_class_weights(complete, context, "logit_adjust")

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Turn parameters into a plan."""
        p = knobs.complete(parameters, self.card.parameters)
        return knobs.plan(p, context, self.phases(p, context), **self.plan_fields(p, context))


GENTLE: Mapping[str, Any] = {"optimizer": "adamw", "adam_rate": 3e-4, "norm": "frozen"}
# Better than the gentle one on three of three sets where there was time for ten epochs, worse on three of three where
# there was time for three (benchmarks/advice/guesses.py).
BRISK: Mapping[str, Any] = {**GENTLE, "adam_rate": 1e-3}
# AutoMM's image preset: AdamW at 1e-4, layer decay 0.9, cosine with a tenth of warm-up (2404.16233, its default table).
AUTOMM: Mapping[str, Any] = {
    "optimizer": "adamw",
    "adam_rate": 1e-4,
    "layer_decay": 0.9,
    "schedule": "cosine",
    "warmup": 0.1,
    "weight_decay": 1e-3,
    "norm": "trained",
    "head_factor": 1.0,
    "label_smoothing": 0.0,
}


def bit_hyperrule(context: Context) -> dict[str, Any]:
    """Return BiT-HyperRule's answer to a size: SGD 0.003, rates cut at each third, mixup from 20,000 images.

    Its 512 images per step and 500 to 20,000 steps are not affordable here: the length is ours.
    Source: Kolesnikov et al. 2019 (1912.11370), section 3.3.
    """
    return {
        "optimizer": "sgd",
        "sgd_rate": 3e-3,
        "momentum": 0.9,
        "weight_decay": 1e-5,
        "layer_decay": 1.0,
        "schedule": "step",
        "warmup": 0.1,
        "norm": "trained",
        "mixup": 0.1 if context.images >= 20_000 else 0.0,
        "label_smoothing": 0.0,
        "clip_norm": 0.0,
    }


class Full(Tuning):
    """Every stage trains."""

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the decay of rates towards the stem, and when stages begin."""
        return {
            "layer_decay": trial.suggest_float("layer_decay", 0.4, 1.0),
            **knobs.draw_unfreezing(trial),
        }

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the gentle full fine-tune, a brisker one, AutoMM's preset and BiT's rule."""
        return (GENTLE, BRISK, AUTOMM, bit_hyperrule(context))


class Partial(Tuning):
    """The last `depth` stages train."""

    DEPTH: ClassVar[Parameter] = Parameter(
        name="depth", default=1, low=1, high=1000, kind="int", meaning="number of trained stages, counted from the head"
    )

    def applies(self, context: Context) -> str | None:
        """Need a stage to train and one to leave."""
        if len(knobs.trained_stages(context)) < 2:
            return "the network has fewer than two stages, so a part of it is all of it"
        return super().applies(context)

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train the last stages only."""
        names = knobs.trained_stages(context)[-int(p["depth"]) :]
        return knobs.unfrozen(p, schedules.layer_decay(names, knobs.rate(p), p["layer_decay"]), context)

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Draw each image's views from a few, so that the frozen part is computed once for each."""
        return {"views": int(p["views"])}

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the depth, the decay of rates, and when stages begin."""
        deepest = len(knobs.trained_stages(context)) - 1
        return {
            "depth": trial.suggest_int("depth", 1, deepest),
            "layer_decay": trial.suggest_float("layer_decay", 0.4, 1.0),
            **knobs.draw_unfreezing(trial),
        }

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the last two stages, then the last one: on two sets it was no better than a head on all stages."""
        return ({**GENTLE, "depth": 2}, GENTLE) if len(knobs.trained_stages(context)) > 2 else (GENTLE,)


VIEWS = Parameter(
    name="views",
    default=8,
    low=0,
    high=1000,
    kind="int",
    meaning="augmented views per image, 0 for a new one each time",
)
FULL = Full(
    name="full",
    regime="full",
    card=Card(
        what="Train every stage, starting from the probe's head, with rates that decrease from head to stem.",
        when="A thousand images or more, or data unlike ImageNet's; gentle rates and frozen BatchNorm keep it safe.",
        parameters=(*knobs.COMMON, knobs.LAYER_DECAY, *knobs.UNFREEZE),
        paper="Yosinski et al. 2014 (1411.1792); Kornblith et al. 2019 (1805.08974)",
        measured="+2.9 and +4.2 points over a head on all stages (flowers, sketches; 64 px); only ema is better.",
    ),
)
PARTIAL = Partial(
    name="partial",
    regime="partial",
    card=Card(
        what="Train the last stages; the stages before them are frozen and computed once per view.",
        when="Several hundred to a few thousand images, or little time: a step costs a fraction of a full one.",
        parameters=(*knobs.COMMON, Partial.DEPTH, knobs.LAYER_DECAY, *knobs.UNFREEZE, VIEWS),
        paper="Yosinski et al. 2014 (1411.1792)",
        measured="One stage: -0.5 and -5.9 points against a head on all stages (flowers, sketches; 64 px); two: +1.6, -1.4.",
    ),
)
STRATEGIES = (PARTIAL, FULL)
