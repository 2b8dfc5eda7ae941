"""Training on few-shot episodes: the last stages learn an embedding in which classes lie around their prototypes.

Strategy `episodic`; it runs only where it is named. The numeric idea, `prototype_loss`, stands first as a plain
function; the core calls `episode_loss` by name as a term of the loss. Each step is an episode, drawn from the seed and
the step; the features learn from the term alone, and a linear head learns beside them, so that the result classifies
as any other model does. Nothing here imports torch to be listed.
Sources: Vinyals et al. 2016 (1606.04080); Snell et al. 2017 (1703.05175); cosines as in Chen et al. 2019 (1904.04232).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from advisor import schedules
from advisor.hooks import Batches, Card, Context, Parameter, Phase, Space, Term, TrainPlan
from advisor_strategies import knobs
from advisor_strategies.finetune import GENTLE, VIEWS, Partial

if TYPE_CHECKING:
    import torch

    from advisor.hooks import TermInputs

HERE = "advisor_strategies.episodic"
# What all trained strategies share and an episode has no use for: its batch is the episode, its classes are balanced.
_FIXED: Mapping[str, Any] = {"batch": 32, "mixup": 0.0, "cutmix": 0.0, "label_smoothing": 0.0, "class_weights": "none"}


# ---- the idea ----------------------------------------------------------------------------------------------------


def prototype_loss(
    features_ND: torch.Tensor, labels_N: torch.Tensor, support_N: torch.Tensor, *, scale: float, cosine: bool
) -> torch.Tensor:
    """Return the cross-entropy of an episode's queries against prototypes, the means of each class's support features.

    Logits are `scale` x the cosine of query and prototype, both seen from the support's mean, or `scale` x minus the
    squared distance. Images are grouped by label and may come in any order.
    Source: Snell et al. 2017 (1703.05175), equations 1 and 2.
    """
    from torch.nn import functional

    features_ND = features_ND.float()
    classes, which_N = labels_N.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    member_NW = functional.one_hot(which_N, len(classes)).float() * support_N[:, None]
    prototypes_WD = (member_NW.T @ features_ND) / member_NW.sum(0)[:, None]
    queries_ND, truth_N = features_ND[~support_N], which_N[~support_N]
    if cosine:
        centre_D = features_ND[support_N].mean(0)
        queries_ND = functional.normalize(queries_ND - centre_D)
        logits_NW = queries_ND @ functional.normalize(prototypes_WD - centre_D).T
    else:
        logits_NW = -(queries_ND[:, None] - prototypes_WD).square().sum(2)
    return functional.cross_entropy(scale * logits_NW, truth_N)


def episode_loss(inputs: TermInputs, *, scale: float, cosine: float) -> torch.Tensor:
    """Return the prototype loss of the step's episode."""
    assert inputs.support is not None
    return prototype_loss(inputs.features, inputs.labels, inputs.support, scale=scale, cosine=bool(cosine))


# ---- the strategy ------------------------------------------------------------------------------------------------


def fitting(p: Mapping[str, Any], context: Context) -> Batches:
    """Return episodes as large as asked, or as the classes allow: the smallest with two images or more bounds them."""
    counts = [count for count in context.class_counts if count > 1]
    each = min([int(p["shots"]) + int(p["queries"]), *counts])
    shots = max(1, min(int(p["shots"]), each - 1))
    ways = max(2, min(int(p["ways"]), len(counts)))
    return Batches(name="episodic", ways=ways, shots=shots, queries=each - shots)


class Episodic(Partial):
    """The last `depth` stages learn from episodes."""

    def applies(self, context: Context) -> str | None:
        """Need two classes of which one image can be shown and another asked about."""
        if sum(count > 1 for count in context.class_counts) < 2:
            return "fewer than two classes have two images, so that no episode can be drawn"
        return super().applies(context)

    def phases(self, p: Mapping[str, Any], context: Context) -> tuple[Phase, ...]:
        """Train the last stages, and the head beside them."""
        names = knobs.trained_stages(context)[-int(p["depth"]) :]
        return schedules.at_once(schedules.layer_decay(names, knobs.rate(p), p["layer_decay"]), knobs.head_rate(p))

    def draw_own(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the size of episodes, the depth, the decay of rates and the sharpness."""
        return {
            "ways": trial.suggest_int("ways", 2, 16),
            "shots": trial.suggest_int("shots", 1, 5),
            "depth": trial.suggest_int("depth", 1, len(knobs.trained_stages(context)) - 1),
            "layer_decay": trial.suggest_float("layer_decay", 0.4, 1.0),
            "scale": trial.suggest_float("scale", 3.0, 30.0, log=True),
        }

    def draw_shared(self, trial: Space, context: Context) -> dict[str, Any]:
        """Draw the shared knobs that an episode has a use for."""
        return knobs.draw(trial, context, cross_entropy=False)

    def guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the gentle rate on the last stage; then two stages, where there are more."""
        deeper = {**GENTLE, "depth": 2} if len(knobs.trained_stages(context)) > 2 else GENTLE
        return (GENTLE, deeper)

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Turn parameters into a plan whose steps are episodes; an epoch is as many images as there are."""
        p = {**_FIXED, **knobs.complete(parameters, self.card.parameters)}
        stream = fitting(p, context)
        batch = stream.ways * (stream.shots + stream.queries)
        numbers = {"scale": float(p["scale"]), "cosine": float(p["metric"] == "cosine")}
        return replace(
            knobs.plan(p, context, self.phases(p, context), views=int(p["views"])),
            streams=(stream,),
            terms=(Term(function=f"{HERE}:episode_loss", numbers=numbers),),
            steps=max(1, round(float(p["epochs"]) * context.images / batch)),
            batch=batch,
        )


EPISODIC = Episodic(
    name="episodic",
    regime="partial",
    card=Card(
        what="Train the last stages on few-shot episodes: prototypes of a few images classify the queries.",
        when="Only by name, for classes that are added later; `tl-advise fewshot` tests it on unseen classes.",
        parameters=(
            *(p for p in knobs.COMMON if p.name not in _FIXED),
            Partial.DEPTH,
            knobs.LAYER_DECAY,
            VIEWS,
            Parameter(
                name="ways", default=8, low=2, high=1000, kind="int", meaning="largest number of classes in an episode"
            ),
            Parameter(
                name="shots", default=3, low=1, high=1000, kind="int", meaning="labelled images per class in an episode"
            ),
            Parameter(
                name="queries", default=5, low=1, high=1000, kind="int", meaning="query images per class in an episode"
            ),
            Parameter(
                name="metric",
                default="cosine",
                kind="choice",
                choices=("cosine", "euclidean"),
                meaning="distance to the prototypes",
            ),
            Parameter(name="scale", default=10.0, low=1e-6, high=1e4, meaning="scale of the similarity to prototypes"),
        ),
        paper="Snell et al. 2017 (1703.05175)",
        measured="+6.0 (1 shot) and +4.3 points (5 shots) over frozen prototypes on 41 unseen flower classes.",
        only_when_named=True,
    ),
)
STRATEGIES = (EPISODIC,)
