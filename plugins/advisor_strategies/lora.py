"""Low-rank adaptation of transformers: strategy `lora`.

Small matrices beside the network's own ones train, and are merged into them at the end (`low_rank`). The head trains
along. Source: Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor import schedules
from advisor.hooks import Card, Context, Parameter, Phase, Space, Term
from advisor_strategies import knobs
from advisor_strategies.finetune import GENTLE, Tuning

PROJECTIONS = {"attention": (1.0, 0.0), "mlp": (0.0, 1.0), "all": (1.0, 1.0)}
SHARE = 0.5  # of the parameters that lie in linear layers, from which on a network counts as a transformer


class LowRankAdaptation(Tuning):
    """Low-rank updates of weight matrices train, in every stage that has any."""

    def applies(self, context: Context) -> str | None:
        """Need a network that consists of linear layers."""
        total = sum(s.parameters for s in context.stages)
        if sum(s.linear for s in context.stages) < SHARE * total or not total:
            return "the network is no transformer: most of its weights lie in convolutions"
        return super().applies(context)

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train the adapters of every stage that has linear layers, from the first step on."""
        names = [s.name for s in context.stages if s.linear > 0]
        return schedules.at_once(dict.fromkeys(names, knobs.rate(p)), knobs.head_rate(p), only="adapter")

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Name the adapter."""
        attention, mlp = PROJECTIONS[p["projections"]]
        numbers = {"rank": float(p["rank"]), "alpha": float(p["alpha"]), "attention": attention, "mlp": mlp}
        return {"adapter": Term(function="advisor_strategies.low_rank:adapt", numbers=numbers)}

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw rank, strength and projections."""
        return {
            "rank": trial.suggest_categorical("rank", [4, 8, 16, 32]),
            "alpha": trial.suggest_float("alpha", 4.0, 64.0, log=True),
            "projections": trial.suggest_categorical("projections", list(PROJECTIONS)),
        }

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return a rate some times that of a full fine-tune, on all matrices, then on attention alone."""
        usual = {**GENTLE, "adam_rate": 1e-3}
        return ({**usual, "projections": "all"}, {**usual, "projections": "attention"})


LORA = LowRankAdaptation(
    name="lora",
    regime="partial",
    card=Card(
        what="Train low-rank updates of a transformer's matrices, and the head; they are merged at the end.",
        when="A large transformer and few images; full fine-tuning is too costly or forgets too much.",
        parameters=(
            *knobs.COMMON,
            Parameter(name="rank", default=8, low=1, high=1024, kind="int", meaning="rank of each update"),
            Parameter(name="alpha", default=16.0, low=0.01, high=1e4, meaning="updates are scaled by alpha / rank"),
            Parameter(
                name="projections",
                default="all",
                kind="choice",
                choices=tuple(PROJECTIONS),
                meaning="which matrices: those of attention, the hidden layers, or all",
            ),
        ),
        paper="Hu et al. 2021 (2106.09685)",
    ),
)
STRATEGIES = (LORA,)
