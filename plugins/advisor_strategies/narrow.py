"""Training few parameters: norm layers only, biases only, or one chosen stage.

Strategies `norm_only`, `bias_only`, `surgical`. The head always trains along.
Sources: Frankle et al. 2020 (2003.00152); Cai et al. 2020, TinyTL (2007.11622); Lee et al. 2022 (2210.11466).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advisor import schedules
from advisor.errors import PluginError
from advisor.hooks import Card, Context, Parameter, Phase, Space
from advisor_strategies import knobs
from advisor_strategies.finetune import GENTLE, Tuning


@dataclass(frozen=True, kw_only=True)
class Narrow(Tuning):
    """Norm or bias parameters of all stages train; `only` says which."""

    only: str

    def applies(self, context: Context) -> str | None:
        """Need norm layers where only they would train."""
        if self.only == "norm" and not context.has_norm:
            return "the network has no norm layers"
        return super().applies(context)

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train the chosen kind of parameter in every stage that may have it, from the first step on."""
        names = [s.name for s in context.stages if s.parameters > 0 and (self.only != "norm" or s.has_norm)]
        return schedules.at_once(dict.fromkeys(names, knobs.rate(p)), knobs.head_rate(p), only=self.only)

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return a rate some times that of a full fine-tune: few parameters, far from overfitting."""
        return ({**GENTLE, "adam_rate": 1e-3}, {**GENTLE, "adam_rate": 1e-3, "norm": "trained"})


class Surgical(Tuning):
    """One stage trains."""

    def applies(self, context: Context) -> str | None:
        """Need a choice of stages."""
        if len(knobs.trained_stages(context)) < 2:
            return "the network has fewer than two stages, so there is none to choose"
        return super().applies(context)

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train one stage, counted from the stem. Raises PluginError where the network has no such stage."""
        names = knobs.trained_stages(context)
        if int(p["stage"]) >= len(names):
            raise PluginError(
                f"stage {p['stage']}: this network has stages 0 to {len(names) - 1} ({', '.join(names)})."
            )
        return schedules.at_once({names[int(p["stage"])]: knobs.rate(p)}, knobs.head_rate(p))

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the stage."""
        return {"stage": trial.suggest_int("stage", 0, len(knobs.trained_stages(context)) - 1)}

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the stem's neighbour (images that look different), then the middle (other textures and parts)."""
        middle = len(knobs.trained_stages(context)) // 2
        return ({**GENTLE, "stage": 0}, {**GENTLE, "stage": middle})


NORM_ONLY = Narrow(
    name="norm_only",
    regime="partial",
    only="norm",
    card=Card(
        what="Train the scales and shifts of all norm layers, and the head; all filters stay frozen.",
        when="Few images of a different style (sketches, microscopy); a cheap test of whether deeper training would pay.",
        parameters=knobs.COMMON,
        paper="Frankle et al. 2020 (2003.00152)",
        measured="+1.8 and +7.3 points over the last stage (flowers, sketches; 64 px); with batch statistics -2.9, -16.4.",
    ),
)
BIAS_ONLY = Narrow(
    name="bias_only",
    regime="partial",
    only="bias",
    card=Card(
        what="Train every bias, and the head.",
        when="As norm_only, for networks with or without norm layers.",
        parameters=knobs.COMMON,
        paper="Cai et al. 2020 (2007.11622)",
        measured="+0.4 and +4.5 points over the last stage (flowers, sketches; 64 px); norm_only is better.",
    ),
)
SURGICAL = Surgical(
    name="surgical",
    regime="partial",
    card=Card(
        what="Train one chosen stage and the head; all others stay.",
        when="A known kind of shift: early stages for changed image quality, late ones for changed classes.",
        parameters=(
            *knobs.COMMON,
            Parameter(name="stage", default=0, low=0, high=1000, kind="int", meaning="the stage, 0 is the stem"),
        ),
        paper="Lee et al. 2022 (2210.11466)",
        measured="Stem: -2.1, -0.4 points; middle stage: +1.6, +6.3, against the last stage (flowers, sketches; 64 px).",
    ),
)
STRATEGIES = (NORM_ONLY, BIAS_ONLY, SURGICAL)
