"""Knowledge distillation: a network learns from the labels and from a larger model's probabilities on the same views.

Strategy `distill`; it runs only where a teacher's answers are available (`tl-advise distill RUN`). The numeric idea stands
first, as a plain function on tensors; the core calls `teacher_divergence` by name as a term of the loss. Unlabelled images,
where there are any, have that term only. Nothing here imports torch to be listed.
Sources: Hinton et al. 2015 (1503.02531), section 2; the same view for teacher and student, Beyer et al. 2022 (2106.05237).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.hooks import Batches, Card, Context, Parameter, Space, Term, TrainPlan
from advisor_strategies import knobs
from advisor_strategies.finetune import GENTLE, Full

if TYPE_CHECKING:
    import torch

    from advisor.hooks import TermInputs

HERE = "advisor_strategies.distill"


# ---- the idea ----------------------------------------------------------------------------------------------------


def softened_divergence(logits_NK: torch.Tensor, teacher_NK: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Return T^2 x KL(teacher || student) of probabilities softened by the temperature T, the mean over images.

    `teacher_NK` are log-probabilities or logits. The factor keeps the size of the gradient whatever T is.
    Source: Hinton et al. 2015 (1503.02531), section 2.
    """
    student = (logits_NK.float() / temperature).log_softmax(1)
    teacher = (teacher_NK.float() / temperature).log_softmax(1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(1).mean()


def teacher_divergence(inputs: TermInputs, *, weight: float, temperature: float) -> torch.Tensor:
    """Return weight x the softened divergence over the step's images, labelled and unlabelled ones counting the same."""
    import torch

    assert inputs.teacher is not None
    logits, teacher = inputs.logits, inputs.teacher
    if inputs.target_logits is not None and inputs.target_teacher is not None:
        logits, teacher = torch.cat([logits, inputs.target_logits]), torch.cat([teacher, inputs.target_teacher])
    return weight * softened_divergence(logits, teacher, temperature=temperature)


teacher_divergence.needs_teacher = True  # type: ignore[attr-defined]


# ---- the strategy ------------------------------------------------------------------------------------------------


class Distilled(Full):
    """Full fine-tuning with a teacher."""

    def applies(self, context: Context) -> str | None:
        """Need a teacher's answers."""
        if not context.has_teacher:
            return "it learns from the model of a finished run (tl-advise distill RUN)"
        return super().applies(context)

    def plan_fields(self, p: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Add the term, as many views as the teacher answers, and the stream of unlabelled images where there are any."""
        numbers = {"weight": float(p["weight"]), "temperature": float(p["temperature"])}
        streams = (Batches(), Batches(name="target")) if context.has_target else (Batches(),)
        term = Term(function=f"{HERE}:teacher_divergence", numbers=numbers)
        return {"terms": (term,), "streams": streams, "views": int(p["views"])}

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Mix no images: the teacher answered each by itself."""
        p = {**knobs.complete(parameters, self.card.parameters), "mixup": 0.0, "cutmix": 0.0}
        return knobs.plan(p, context, self.phases(p, context), **self.plan_fields(p, context))

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw weight and temperature beside what full fine-tuning draws."""
        return {
            **super().draw_own(trial, context),
            "weight": trial.suggest_float("weight", 0.5, 20.0, log=True),
            "temperature": trial.suggest_float("temperature", 1.0, 8.0, log=True),
        }

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the gentle fine-tune, which the undistilled student is trained with as well."""
        return (GENTLE,)


_PLAIN = tuple(p for p in knobs.COMMON if p.name not in ("mixup", "cutmix"))
DISTILL = Distilled(
    name="distill",
    regime="full",
    card=Card(
        what="Full fine-tuning on labels and on the probabilities of a larger model, on unlabelled images as well.",
        when="Only by `tl-advise distill RUN`: the model of a run is good enough, and too slow or too large.",
        parameters=(
            *_PLAIN,
            knobs.LAYER_DECAY,
            *knobs.UNFREEZE,
            Parameter(
                name="weight",
                default=4.0,
                low=0.0,
                high=1000.0,
                meaning="weight of the teacher, that of the labels is 1",
            ),
            Parameter(
                name="temperature", default=2.0, low=0.1, high=100.0, meaning="how much both probabilities are softened"
            ),
            Parameter(
                name="views",
                default=8,
                low=1,
                high=1000,
                kind="int",
                meaning="augmented views that the teacher answers",
            ),
        ),
        paper="Hinton et al. 2015 (1503.02531); Beyer et al. 2022 (2106.05237)",
        measured="-0.6 points [-2.4 .. +1.2] over full, 300 images, a head as teacher (five flowers; pocket, 64 px, 1 seed).",
        only_when_named=True,
    ),
)
STRATEGIES = (DISTILL,)
