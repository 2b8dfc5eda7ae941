"""Feature extraction: the network stays as it is, a head is fitted on its pooled features in closed form or convexly.

Strategies `ridge`, `logistic`, `prototypes`, `knn`. A plan without phases; the core's `advisor.heads` does the numbers,
on cached features, in seconds. Head kinds and their numbers are those of `advisor.records.plan.Head`.
Sources: ridge with exact leave-one-out, Hoerl and Kennard 1970 with the usual hat-matrix identity; prototypes, Snell et
al. 2017 (1703.05175); all-stage features, Evci et al. 2022, Head2Toe (2201.03529).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advisor.hooks import Card, Context, Head, Parameter, Space, TrainPlan
from advisor_strategies import knobs

LAYERS = Parameter(
    name="layers",
    default="last",
    kind="choice",
    choices=("last", "all"),
    meaning="features of the last stage, or of all stages concatenated",
)
MIRROR = Parameter(
    name="mirror",
    default=False,
    kind="choice",
    choices=(False, True),
    meaning="average the features of each image and its mirror image, at twice the cost of a prediction",
)
FIT = next(p for p in knobs.IMAGES if p.name == "fit")
CLASS_WEIGHTS = next(p for p in knobs.LOSS if p.name == "class_weights")


@dataclass(frozen=True, kw_only=True)
class FrozenHead:
    """A strategy that fits one kind of head on frozen features; `searched` gives the numbers that a search draws."""

    name: str
    card: Card
    kinds: Mapping[str, str]  # value of the parameter "metric" -> head kind; one entry where there is no choice
    searched: tuple[tuple[str, float, float], ...] = ()  # name, low, high, on a logarithmic scale
    guesses: tuple[Mapping[str, Any], ...] = ({},)
    regime: str = "feature_extraction"

    def applies(self, context: Context) -> str | None:
        """Always: every network has features."""
        return None

    def space(self, trial: Space, context: Context) -> Mapping[str, Any]:
        """Draw the features to look at, and the head's own numbers."""
        drawn: dict[str, Any] = {
            "layers": trial.suggest_categorical("layers", ["last", "all"]),
            "mirror": trial.suggest_categorical("mirror", [False, True]),
        }
        if len(self.kinds) > 1:
            drawn["metric"] = trial.suggest_categorical("metric", list(self.kinds))
        for name, low, high in self.searched:
            if next(p.kind for p in self.card.parameters if p.name == name) == "int":
                drawn[name] = trial.suggest_int(name, int(low), int(high), log=True)
            else:
                drawn[name] = trial.suggest_float(name, low, high, log=True)
        if knobs.may_weigh_classes(context) and any(p.name == "class_weights" for p in self.card.parameters):
            drawn["class_weights"] = trial.suggest_categorical("class_weights", ["none", "balanced"])
        return knobs.complete(drawn, self.card.parameters)

    def first_guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the known-good settings, best first."""
        complete = [knobs.complete(guess, self.card.parameters) for guess in self.guesses]
        return knobs.with_class_weights(complete, context, "balanced")

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Plan the head, and no training."""
        p = knobs.complete(parameters, self.card.parameters)
        kind = self.kinds[p.get("metric", next(iter(self.kinds)))]
        numbers = {q.name: float(p[q.name]) for q in self.card.parameters if q.kind in ("float", "int") and p[q.name]}
        head = Head(kind=kind, layers=p["layers"], mirror=p["mirror"], numbers=numbers)
        return TrainPlan(head=head, fit=p["fit"], class_weights=p.get("class_weights", "none"))


RIDGE = FrozenHead(
    name="ridge",
    kinds={"": "ridge"},
    guesses=({}, {"layers": "all"}, {"layers": "all", "mirror": True}),
    card=Card(
        what="Ridge regression on frozen features, its strength chosen by exact leave-one-out from one factorization.",
        when="Always tried first: takes seconds, needs no tuning, hard to beat below about 500 images.",
        parameters=(
            LAYERS,
            MIRROR,
            Parameter(name="strength", default=0.0, low=0.0, high=1e12, meaning="penalty; 0: chosen by leave-one-out"),
            FIT,
        ),
        paper="Hoerl and Kennard 1970, Technometrics 12",
        measured="+1.7 and +5.0 points for all stages, mirrored, over the last stage (five flowers, sketches; 128 px).",
    ),
)
LOGISTIC = FrozenHead(
    name="logistic",
    kinds={"": "logistic"},
    # Best first: on three data sets all stages with mirror images beat the last stage alone (benchmarks/results/heads.json).
    guesses=({"layers": "all", "mirror": True}, {}, {"layers": "all"}),
    searched=(("c", 1e-4, 100.0),),
    card=Card(
        what="Multinomial logistic regression on standardised frozen features: the linear probe.",
        when="Like ridge, with better probabilities; fine-tuning starts from this head.",
        parameters=(
            LAYERS,
            MIRROR,
            Parameter(
                name="c", default=0.0, low=0.0, high=1e8, meaning="inverse penalty; 0: chosen by cross-validation"
            ),
            CLASS_WEIGHTS,
            FIT,
        ),
        paper="Kornblith et al. 2019 (1805.08974)",
        measured="+0.3 and -1.2 points against ridge, both mirrored on all stages (five flowers, sketches; 128 px).",
    ),
)
PROTOTYPES = FrozenHead(
    name="prototypes",
    kinds={"cosine": "cosine_prototypes", "euclidean": "prototypes"},
    guesses=({}, {"metric": "euclidean"}),
    card=Card(
        what="One mean feature vector per class; an image is assigned to the nearest one.",
        when="A handful of images per class, or a set of classes that changes.",
        parameters=(
            LAYERS,
            MIRROR,
            Parameter(
                name="metric",
                default="cosine",
                kind="choice",
                choices=("cosine", "euclidean"),
                meaning="distance to the class means",
            ),
            FIT,
        ),
        paper="Snell et al. 2017 (1703.05175)",
        measured="5-way 5-shot on Flowers-102: 0.906 on all stages, 0.886 on the last (128 px); ridge, logistic 0.912-0.916.",
    ),
)
KNN = FrozenHead(
    name="knn",
    kinds={"": "knn"},
    guesses=({}, {"k": 20}),
    searched=(("k", 1, 50), ("temperature", 0.01, 1.0)),
    card=Card(
        what="A vote of the k most similar training images, weighted by similarity.",
        when="Many images of classes that vary a lot; shows the quality of the features without any fitting.",
        parameters=(
            LAYERS,
            MIRROR,
            Parameter(name="k", default=10, low=1, high=10_000, kind="int", meaning="number of neighbours"),
            Parameter(
                name="temperature",
                default=0.07,
                low=1e-4,
                high=100.0,
                meaning="the smaller, the more the nearest images count",
            ),
            FIT,
        ),
        paper="Wu et al. 2018 (1805.01978)",
        measured="5-way 5-shot on Flowers-102: 0.897 on all stages (128 px), a point below prototypes.",
    ),
)
STRATEGIES = (RIDGE, LOGISTIC, PROTOTYPES, KNN)
