"""Fine-tuning that remembers where it started: L2-SP, interpolation between start and tuned weights, moving averages.

Strategies `l2_sp`, `wise_ft`, `ema`. The numeric ideas stand first: `l2_sp` is a term of the loss, `interpolate` a
finish; the core calls both by name. torch tensors come in and go out, but nothing here imports torch to be listed.
Sources: Li et al. 2018 (1802.01483); Wortsman et al. 2021 (2109.01903); Polyak averaging, Tarvainen and Valpola 2017
(1703.01780).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.hooks import Card, Context, Parameter, Space, Term
from advisor_strategies import knobs
from advisor_strategies.finetune import GENTLE, Full

if TYPE_CHECKING:
    import torch

    from advisor.hooks import TermInputs

HERE = "advisor_strategies.anchored"


def l2_sp(inputs: TermInputs, *, alpha: float, beta: float) -> torch.Tensor:
    """Return alpha / 2 x squared distance of the network from its start + beta / 2 x squared norm of the head.

    Source: Li et al. 2018 (1802.01483), equation 4, on the parameters that train now.
    """
    total = inputs.logits.new_zeros((), dtype=inputs.features.dtype).float()
    for name, parameter in inputs.parameters.items():
        if name.startswith("head."):
            total = total + 0.5 * beta * parameter.float().square().sum()
        else:
            total = total + 0.5 * alpha * (parameter - inputs.start[name]).float().square().sum()
    return total


def interpolate(
    start: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], *, alpha: float
) -> dict[str, torch.Tensor]:
    """Return (1 - alpha) x start + alpha x tuned, by name: alpha 0 is the start, 1 the tuned weights, exactly.

    Source: Wortsman et al. 2021 (2109.01903), equation 1. Statistics of BatchNorm are interpolated along.
    """
    if alpha <= 0:
        return dict(start)
    if alpha >= 1:
        return dict(tuned)
    return {name: start[name].lerp(value, alpha) for name, value in tuned.items()}


class L2SP(Full):
    """Full fine-tuning, pulled back to its start."""

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Add the penalty to the loss."""
        numbers = {"alpha": float(p["alpha"]), "beta": float(p["beta"])}
        return {"terms": (Term(function=f"{HERE}:l2_sp", numbers=numbers),)}

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the two strengths beside what full fine-tuning draws."""
        return {
            **super().draw_own(trial, context),
            "alpha": trial.suggest_float("alpha", 1e-4, 1.0, log=True),
            "beta": trial.suggest_float("beta", 1e-4, 1.0, log=True),
        }

    def draw_shared(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the shared knobs without weight decay, which pulls to zero and not to the start."""
        return knobs.draw(trial, context, weight_decay=False)

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the paper's strengths with its SGD, then with gentle AdamW."""
        paper = {"alpha": 0.1, "beta": 0.01}
        return ({**GENTLE, **paper}, {"optimizer": "sgd", "sgd_rate": 1e-2, **paper})


class WiSE(Full):
    """Full fine-tuning, then a step back towards the start."""

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Interpolate at the end; the core chooses alpha on validation images where it is asked to."""
        fitted = ("alpha",) if p["alpha_from"] == "validation" else ()
        return {"finish": Term(function=f"{HERE}:interpolate", numbers={"alpha": float(p["alpha"])}, fitted=fitted)}

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the gentle fine-tune with alpha from validation."""
        return (GENTLE,)


class Averaged(Full):
    """Full fine-tuning whose moving average is kept."""

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the decay beside what full fine-tuning draws."""
        return {**super().draw_own(trial, context), "ema": trial.suggest_categorical("ema", [0.9, 0.98, 0.99, 0.998])}

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return a window of about a tenth of a short run, at twice the gentle rate."""
        return ({**GENTLE, "adam_rate": 5e-4, "ema": 0.98},)


L2_SP = L2SP(
    name="l2_sp",
    regime="full",
    card=Card(
        what="Full fine-tuning with a penalty on the distance from the pretrained weights, instead of weight decay.",
        when="Small data sets, where the pretrained features should be preserved.",
        parameters=(
            *knobs.changed(knobs.COMMON, weight_decay=0.0),
            knobs.LAYER_DECAY,
            *knobs.UNFREEZE,
            Parameter(
                name="alpha",
                default=0.1,
                low=0.0,
                high=1e4,
                meaning="strength of the penalty on the distance from the start",
            ),
            Parameter(name="beta", default=0.01, low=0.0, high=1e4, meaning="strength of the head's weight penalty"),
        ),
        paper="Li et al. 2018 (1802.01483)",
        measured="-0.9 and -0.9 points against full (flowers, sketches; 64 px); it stays nearer to the start.",
    ),
)
WISE_FT = WiSE(
    name="wise_ft",
    regime="full",
    card=Card(
        what="Full fine-tuning, then an average of the initial and the tuned weights, its share chosen on validation images.",
        when="No training cost beyond fine-tuning; keeps accuracy on images unlike the training set.",
        parameters=(
            *knobs.COMMON,
            knobs.LAYER_DECAY,
            *knobs.UNFREEZE,
            Parameter(
                name="alpha", default=0.5, low=0.0, high=1.0, meaning="0: the initial weights, 1: the tuned weights"
            ),
            Parameter(
                name="alpha_from",
                default="validation",
                kind="choice",
                choices=("validation", "given"),
                meaning="who chooses alpha: the images of the first fold, which are also scored, or you",
            ),
        ),
        paper="Wortsman et al. 2021 (2109.01903)",
        measured="Validation chose the tuned weights (flowers, sketches; 64 px); "
        'a wider curve is in the documentation: "Comparing ways of training".',
    ),
)
EMA = Averaged(
    name="ema",
    regime="full",
    card=Card(
        what="Full fine-tuning at a higher rate; the result is a moving average of the weights.",
        when="Noisy labels or a rate that is too high for its last steps.",
        parameters=(
            *knobs.changed(knobs.COMMON, ema=0.98),
            knobs.LAYER_DECAY,
            *knobs.UNFREEZE,
        ),
        paper="Tarvainen and Valpola 2017 (1703.01780)",
        measured="+1.0 and +0.6 points over full, at 0.94 and 0.97 of its log-loss (flowers, sketches; 64 px, 5 seeds).",
    ),
)
STRATEGIES = (L2_SP, WISE_FT, EMA)
