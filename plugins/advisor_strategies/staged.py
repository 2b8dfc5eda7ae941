"""Who trains when: gradual unfreezing, linear probing before fine-tuning, rates spread over the depth.

Strategies `gradual`, `lp_ft`, `discriminative`. All are phases of the core's loop; the numeric ideas are
`advisor.schedules.gradual` and `spread`.
Sources: Howard and Ruder 2018 (1801.06146); Kumar et al. 2022 (2202.10054); fast.ai's `fine_tune` (2002.04688).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor import schedules
from advisor.hooks import Card, Context, Parameter, Phase, Space
from advisor_strategies import knobs
from advisor_strategies.finetune import GENTLE, Tuning

HEAD_EPOCHS = Parameter(name="head_epochs", default=1.0, low=0.0, high=1000, meaning="epochs of the head alone, first")


def head_first(
    p: Mapping[str, Any], rates: Mapping[str, float], context: Context, head_alone: float
) -> tuple[Phase, ...]:
    """Build two phases: the head alone at `head_alone` for `head_epochs`, then everything, with a fresh schedule."""
    length = knobs.steps(p, context)
    first = min(length - 1, round(float(p["head_epochs"]) * context.steps_per_epoch))
    if first < 1:
        return schedules.at_once(rates, knobs.head_rate(p))
    alone = Phase(start=0, head_rate=head_alone)
    return (alone, Phase(start=first, rates=dict(rates), head_rate=knobs.head_rate(p), restart=True))


class Gradual(Tuning):
    """Stages begin to train one after another, from the head down."""

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw how late the stem begins, and the decay of rates."""
        return {
            "unfreeze_share": trial.suggest_float("unfreeze_share", 0.1, 0.8),
            "layer_decay": trial.suggest_float("layer_decay", 0.4, 1.0),
        }

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the gentle fine-tune, unfrozen over the first 40 %."""
        return (GENTLE,)


class LinearProbeFirst(Tuning):
    """Head first, then all, each with its own schedule."""

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train the head alone at ten times the rate, then everything."""
        rates = schedules.layer_decay(knobs.trained_stages(context), knobs.rate(p), p["layer_decay"])
        return head_first(p, rates, context, 10 * knobs.rate(p))

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the epochs of the head alone, and the decay of rates."""
        return {
            "head_epochs": trial.suggest_float("head_epochs", 0.5, 4.0),
            "layer_decay": trial.suggest_float("layer_decay", 0.4, 1.0),
        }

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return two epochs of the head, then gentle rates."""
        return ({**GENTLE, "adam_rate": 1e-4, "layer_decay": 1.0, "head_epochs": 2.0},)


class Discriminative(Tuning):
    """fast.ai's fine_tune: one frozen epoch, then rates spread geometrically over the depth."""

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train the head alone at twice the rate, then everything with slice(low, rate)."""
        top = knobs.rate(p)
        rates = schedules.spread(knobs.trained_stages(context), top * float(p["stem_factor"]), top)
        return head_first(p, rates, context, 2 * top)

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the epochs of the head alone, and how small the stem's rate is."""
        return {
            "head_epochs": trial.suggest_float("head_epochs", 0.5, 4.0),
            "stem_factor": trial.suggest_float("stem_factor", 1e-3, 1.0, log=True),
        }

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return fast.ai's own numbers: base rate 2e-3 for the head, then slice(1e-5, 1e-3), one cycle, Adam."""
        return (
            {
                "optimizer": "adamw",
                "adam_rate": 1e-3,
                "stem_factor": 0.01,
                "schedule": "onecycle",
                "warmup": 0.3,
                "norm": "trained",
                "label_smoothing": 0.0,
            },
            {**GENTLE, "stem_factor": 0.1, "schedule": "onecycle", "warmup": 0.3},
        )


GRADUAL = Gradual(
    name="gradual",
    regime="full",
    card=Card(
        what="Unfreeze stage by stage from the head down, each newly freed stage warming up.",
        when="Little data and a deep network, where training all at once would shake what the stem knows.",
        parameters=(
            *knobs.COMMON,
            knobs.LAYER_DECAY,
            *knobs.changed(knobs.UNFREEZE, unfreeze="gradual"),
        ),
        paper="Howard and Ruder 2018 (1801.06146)",
        measured="-0.4 and -2.7 points against full (flowers, sketches; 64 px); it costs three quarters of the time.",
    ),
)
LP_FT = LinearProbeFirst(
    name="lp_ft",
    regime="full",
    card=Card(
        what="Train the head on the frozen network first, then everything at a small rate, with two schedules.",
        when="Test images that may differ from the training images: features are distorted less.",
        parameters=(*knobs.COMMON, knobs.LAYER_DECAY, HEAD_EPOCHS),
        paper="Kumar et al. 2022 (2202.10054)",
        measured="-1.7 and -4.7 points against full (flowers, sketches; 64 px) in distribution; elsewhere not measured.",
    ),
)
DISCRIMINATIVE = Discriminative(
    name="discriminative",
    regime="full",
    card=Card(
        what="One frozen epoch, then one cycle with rates that rise geometrically from stem to head.",
        when="What fast.ai does by default. On two sets at 64 px it stayed below a head on frozen features: only if named.",
        only_when_named=True,
        parameters=(
            *knobs.COMMON,
            HEAD_EPOCHS,
            Parameter(
                name="stem_factor", default=0.01, low=1e-6, high=1.0, meaning="the stem's rate over the last stage's"
            ),
        ),
        paper="Howard and Gugger 2020, fastai (2002.04688)",
        measured="-4.4 and -13.6 points against full with fast.ai's numbers (flowers, sketches; 64 px).",
    ),
)
STRATEGIES = (GRADUAL, LP_FT, DISCRIMINATIVE)
