"""Unsupervised domain adaptation: labelled source images, unlabelled target images, one network for both.

Strategies `dann` and `mcc`; they run only where they are named and a target is given. The numeric ideas stand first, as
plain functions on tensors; the core calls `adversarial` and `class_confusion` by name as terms of the loss. Source and
target go through the network in passes of their own, one batch each of the same size at every step, so that BatchNorm
never mixes two domains in a batch; its running statistics are an average over both. Nothing here imports torch to be
listed. Sources: Ganin et al. 2016 (1505.07818); Jin et al. 2020 (1912.03699).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.hooks import Batches, Card, Context, Parameter, Space, Term
from advisor_strategies import knobs
from advisor_strategies.finetune import GENTLE, Full

if TYPE_CHECKING:
    import torch

    from advisor.hooks import TermInputs

HERE = "advisor_strategies.adapt"
HIDDEN = 256  # width of the domain classifier


# ---- the ideas ---------------------------------------------------------------------------------------------------


def ramp(step: int, steps: int, *, gamma: float = 10.0) -> float:
    """Return the strength of the reversal, 2 / (1 + exp(-gamma p)) - 1 at the share p of the run: 0 at first, then 1.

    Source: Ganin et al. 2016 (1505.07818), section 5.2.2.
    """
    return 2.0 / (1.0 + math.exp(-gamma * step / max(1, steps))) - 1.0


def reverse_gradient(x: torch.Tensor, strength: float) -> torch.Tensor:
    """Return x unchanged; the gradient that comes back through it is multiplied by -strength."""
    passed = x.view_as(x)
    if passed.requires_grad:
        passed.register_hook(lambda gradient: -strength * gradient)  # type: ignore[no-untyped-call]
    return passed


def domain_loss(source_logits_N: torch.Tensor, target_logits_M: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of telling source (1) from target (0), each domain weighing one half."""
    from torch.nn import functional

    return 0.5 * (functional.softplus(-source_logits_N).mean() + functional.softplus(target_logits_M).mean())


def minimum_class_confusion(logits_MK: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Return how much the classifier confuses classes on unlabelled images, a number in 0..1.

    Probabilities are softened by `temperature`, images weighted by their certainty (1 + exp(-entropy)), the class
    correlation normalised by rows; the mean of what lies off its diagonal is the loss.
    Source: Jin et al. 2020 (1912.03699), equations 2 to 5.
    """
    p_MK = (logits_MK.float() / temperature).softmax(1)
    entropy_M = -(p_MK * p_MK.clamp_min(1e-12).log()).sum(1)
    weight_M = 1.0 + (-entropy_M).exp()
    weight_M = len(p_MK) * weight_M / weight_M.sum()
    confusion_KK = p_MK.T @ (weight_M.detach()[:, None] * p_MK)
    confusion_KK = confusion_KK / confusion_KK.sum(1, keepdim=True).clamp_min(1e-12)
    return (confusion_KK.sum() - confusion_KK.trace()) / p_MK.shape[1]


# ---- the terms ---------------------------------------------------------------------------------------------------


def adversarial(inputs: TermInputs, *, weight: float, gamma: float) -> torch.Tensor:
    """Return weight x the domain classifier's loss; the features are trained to raise it, more and more."""
    assert inputs.companion is not None
    assert inputs.target_features is not None
    strength = ramp(inputs.step, inputs.steps, gamma=gamma)
    source, target = (
        inputs.companion(reverse_gradient(features, strength)).float().squeeze(1)
        for features in (inputs.features, inputs.target_features)
    )
    return weight * domain_loss(source, target)


def domain_classifier(width: int, classes: int) -> torch.nn.Module:
    """Build the network that tells domains apart from features (N, width): one hidden layer, one logit."""
    from torch import nn

    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))


adversarial.companion = domain_classifier  # type: ignore[attr-defined]


def class_confusion(inputs: TermInputs, *, weight: float, temperature: float) -> torch.Tensor:
    """Return weight x the class confusion on the step's target images."""
    assert inputs.target_logits is not None
    return weight * minimum_class_confusion(inputs.target_logits, temperature=temperature)


# ---- the strategies ----------------------------------------------------------------------------------------------


class Adapted(Full):
    """Full fine-tuning on the source, with a term that looks at unlabelled target images."""

    def applies(self, context: Context) -> str | None:
        """Need a target domain."""
        if not context.has_target:
            return "it adapts to a target domain and none is given (--target DIR)"
        return super().applies(context)

    def term(self, p: Mapping[str, Any]) -> Term:
        """Return the term of the loss."""
        raise TypeError(f"{self.name} says no term")

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Add the term, and the target's stream beside the labelled one."""
        return {"terms": (self.term(p),), "streams": (Batches(), Batches(name="target"))}

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the gentle fine-tune, with each domain's own batch statistics while it trains."""
        return ({**GENTLE, "norm": "trained"},)


class Adversary(Adapted):
    """Features that a domain classifier cannot tell apart."""

    def term(self, p: Mapping[str, Any]) -> Term:
        """Return the adversarial term."""
        return Term(function=f"{HERE}:adversarial", numbers={"weight": float(p["weight"]), "gamma": float(p["gamma"])})

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the strength beside what full fine-tuning draws."""
        return {**super().draw_own(trial, context), "weight": trial.suggest_float("weight", 0.1, 2.0, log=True)}


class Confusion(Adapted):
    """Predictions on the target that do not confuse classes."""

    def term(self, p: Mapping[str, Any]) -> Term:
        """Return the class-confusion term."""
        numbers = {"weight": float(p["weight"]), "temperature": float(p["temperature"])}
        return Term(function=f"{HERE}:class_confusion", numbers=numbers)

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw strength and temperature beside what full fine-tuning draws."""
        return {
            **super().draw_own(trial, context),
            "weight": trial.suggest_float("weight", 0.1, 3.0, log=True),
            "temperature": trial.suggest_float("temperature", 1.5, 4.0),
        }


_SHARED = (*knobs.changed(knobs.COMMON, norm="trained"), knobs.LAYER_DECAY, *knobs.UNFREEZE)
DANN = Adversary(
    name="dann",
    regime="full",
    card=Card(
        what="Full fine-tuning on labelled source images against a domain classifier on unlabelled target images.",
        when="Only by name, with --target DIR: the images to classify look unlike the labelled ones. Can be unstable.",
        parameters=(
            *_SHARED,
            Parameter(name="weight", default=1.0, low=0.0, high=100.0, meaning="weight of the domain loss"),
            Parameter(
                name="gamma",
                default=10.0,
                low=0.0,
                high=1000.0,
                meaning="how fast the gradient reversal reaches full strength",
            ),
        ),
        paper="Ganin et al. 2016 (1505.07818)",
        measured="One point below target statistics alone (PACS photos to sketches at 64 px, 84 steps, 5 seeds).",
        only_when_named=True,
    ),
)
MCC = Confusion(
    name="mcc",
    regime="full",
    card=Card(
        what="Full fine-tuning on labelled source images that also minimises class confusion on unlabelled target images.",
        when="Only by name, with --target DIR: simpler than dann and more stable, since nothing is adversarial.",
        parameters=(
            *_SHARED,
            Parameter(name="weight", default=1.0, low=0.0, high=100.0, meaning="weight of the confusion"),
            Parameter(
                name="temperature", default=2.5, low=0.1, high=100.0, meaning="how much probabilities are softened"
            ),
        ),
        paper="Jin et al. 2020 (1912.03699)",
        measured="+3 points over target statistics alone with each of 5 seeds (PACS photos to sketches at 64 px, 84 steps).",
        only_when_named=True,
    ),
)
STRATEGIES = (DANN, MCC)
