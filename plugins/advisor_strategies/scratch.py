"""Training from scratch: the same network with random weights, as a baseline that shows what transfer brings.

Strategy `scratch`. It runs only where a person names it (`--strategy scratch`): its card says `only_when_named`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor import schedules
from advisor.hooks import Card, Context, Phase, Space
from advisor_strategies import knobs
from advisor_strategies.finetune import Tuning


class Scratch(Tuning):
    """Every stage trains from random weights, at one rate, with batch statistics."""

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train everything at one rate: no stage knows more than another."""
        return schedules.at_once(dict.fromkeys(knobs.trained_stages(context), knobs.rate(p)), knobs.head_rate(p))

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Request random weights by name."""
        return {"from_scratch": True}

    def draw_shared(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the shared knobs, with BatchNorm always trained."""
        return knobs.draw(trial, context, batch_norm=False)

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return rates and lengths that are fair to random weights."""
        longer = 2.0 * knobs.epochs_for(context)
        return ({"epochs": longer}, {"epochs": longer, "optimizer": "sgd", "sgd_rate": 0.03})


SCRATCH = Scratch(
    name="scratch",
    regime="full",
    card=Card(
        what="Train the same network from random weights, as a baseline.",
        when="Only to see what the pretrained weights are worth; named with --strategy scratch.",
        parameters=knobs.changed(
            knobs.COMMON,
            adam_rate=1e-3,
            sgd_rate=0.03,
            weight_decay=0.05,
            norm="trained",
            head_start="random",
            schedule="onecycle",
            warmup=0.2,
        ),
        paper="He et al. 2018, Rethinking ImageNet Pre-training (1811.08883)",
        measured="11.2 % where full reaches 66.5 % in the same 320 steps (Flowers-102 at 64 px, 1,020 training images).",
        only_when_named=True,
    ),
)
STRATEGIES = (SCRATCH,)
