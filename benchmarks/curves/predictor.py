"""Which log-loss a training will end with: from its configuration, the probe beside it, and its curve so far.

In: what is known of a training (`Sighting`), and those that ended on the same data. Out: mean and standard deviation of the
logarithm of its final validation log-loss. A linear model of configuration and probe, fitted on recorded trainings
(`benchmarks/curves`), gives the mean; what was seen on these data corrects it, as a Gaussian process whose variances (of the
data set, of the network, of the strategy, of their neighbourhood) were fitted on the same table; a curve that has begun is a
second reading of its own end. Pure; numpy only. Does NOT cover: what to do with it (../search/acquisition.py).
Sources: Swersky et al. 2014 (1406.3896); Arango et al. 2024, Quick-Tune (2306.03828), for learning from recorded trainings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.records import Candidate

Floats = npt.NDArray[np.float64]
COEFFICIENTS = Path(__file__).with_name("predictor.json")
USUAL_STEPS, USUAL_RATE = 100.0, {"adamw": 5e-4, "adam": 5e-4, "sgd": 5e-3}
LOWEST, HIGHEST = -2.0, 1.0  # of a logarithm of log-loss over the probe's: what lies beyond says no more
TINY = 1e-3


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A candidate on one data set, and what was seen of it.

    `steps` of `batch` images (0 steps for a head); `floor` is the probe's log-loss on the same network and input size;
    `published` its accuracy on ImageNet. `share` of the steps are done, with validation log-loss `loss` there (None before
    the first reading); `final` is the log-loss of a training that ended.
    """

    candidate: Candidate
    regime: str
    steps: int
    images: int
    classes: int
    floor: float
    batch: int = 32
    published: float | None = None
    share: float = 0.0
    loss: float | None = None
    final: float | None = None

    @cached_property
    def features(self) -> Mapping[str, float]:
        """What the linear model knows of it."""
        return features(self)


def features(sighting: Sighting) -> Mapping[str, float]:
    """Describe a training by named numbers, each of about unit size."""
    p, c = sighting.candidate.parameters, sighting.candidate
    hardness = math.log(max(sighting.floor, TINY) / math.log(max(2, sighting.classes)))
    named = {"one": 1.0, f"strategy {c.strategy}": 1.0, f"regime {sighting.regime}": 1.0}
    if not sighting.steps:
        layers = str(p.get("layers", "last"))
        return {f"head {c.strategy} {layers}": 1.0, f"head {c.strategy}": 1.0, "head": 1.0, "head hardness": hardness}
    length = math.log(sighting.steps * sighting.batch / 32 / USUAL_STEPS)
    optimizer = str(p.get("optimizer", "adamw"))
    rate = float(p.get("adam_rate", p.get("sgd_rate", USUAL_RATE[optimizer])))
    speed = math.log(rate / USUAL_RATE.get(optimizer, 5e-4))
    named |= {
        "hardness": hardness,
        "length": length,
        "length hardness": length * hardness,
        f"length {sighting.regime}": length,
        "rate": speed,
        "rate length": speed * length,
        "rate squared": speed * speed,
        f"rate {sighting.regime}": speed,
        "sgd": float(optimizer == "sgd"),
        "rate sgd": speed * (optimizer == "sgd"),
        "head factor": math.log(float(p.get("head_factor", 10.0)) / 10.0),
        "head factor squared": math.log(float(p.get("head_factor", 10.0)) / 10.0) ** 2,
        "images": math.log(sighting.images / 300),
        "images a class": math.log(sighting.images / sighting.classes / 50),
        "norm trained": float(p.get("norm", "frozen") == "trained"),
        "augmentation": float(p.get("augmentation", "flip") != "flip"),
        "gradual": float(p.get("unfreeze", "at_once") == "gradual" or c.strategy == "gradual"),
        "decay": 1.0 - float(p.get("layer_decay", 1.0)),
        "smoothing": float(p.get("label_smoothing", 0.0)) / 0.1,
        "published": (sighting.published or 0.6) - 0.65,
        "passes": math.log(max(0.05, sighting.steps * sighting.batch / sighting.images)),
    }
    return named


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Fitted coefficients. `variances`: of the data set, network, strategy, neighbourhood and noise; heads have their own.

    `curve` gives, by share of the steps, (offset, slope, deviation): the end as seen from a curve's last reading.
    """

    weights: Mapping[str, float]
    variances: Mapping[str, float]
    curve: Mapping[str, Sequence[float]]

    @staticmethod
    def read(path: Path = COEFFICIENTS) -> Predictor:
        """Read the coefficients that fit.py wrote."""
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Predictor(weights=stored["weights"], variances=stored["variances"], curve=stored["curve"])

    def prior(self, sightings: Sequence[Sighting]) -> Floats:
        """Return the expected logarithm of final log-loss over the probe's, (n,), from configurations and probes alone."""
        return np.array(
            [sum(self.weights.get(k, 0.0) * v for k, v in s.features.items()) for s in sightings], dtype=np.float64
        )

    def posterior(self, sightings: Sequence[Sighting], seen: Sequence[Sighting]) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the logarithm of the final log-loss, (n,) each, given what was seen."""
        ended = [s for s in seen if s.final is not None and (s.steps or s.candidate.origin != "probe")]
        mean, variance = self.prior(sightings), np.diag(self.covariance(sightings, sightings)).copy()
        variance += np.array([self.noise(s) for s in sightings])
        if ended:
            surprise = np.array([level(s.final, s.floor) for s in ended]) - self.prior(ended)
            own = self.covariance(ended, ended) + np.diag([self.noise(s) for s in ended])
            across = self.covariance(sightings, ended)
            solved = np.linalg.solve(own, np.column_stack([surprise, across.T]))
            mean = mean + across @ solved[:, 0]
            variance = variance - np.einsum("nm,mn->n", across, solved[:, 1:])
        mean, variance = self._with_curves(sightings, mean, np.maximum(variance, TINY**2))
        floors = np.log([max(s.floor, TINY) for s in sightings])
        return mean + floors, np.sqrt(variance)

    def _with_curves(self, sightings: Sequence[Sighting], mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Weigh in what each curve says of its own end, by precision."""
        for i, s in enumerate(sightings):
            if s.loss is None or not s.steps:
                continue
            offset, slope, deviation = self.reading(s.share)
            end = offset + slope * level(s.loss, s.floor)
            weight = variance[i] / (variance[i] + deviation**2)
            mean[i] += weight * (end - mean[i])
            variance[i] *= 1.0 - weight
        return mean, variance

    def reading(self, share: float) -> tuple[float, float, float]:
        """Return offset, slope and deviation at a share of the steps, between those that were fitted."""
        shares = sorted(float(s) for s in self.curve)
        rows = np.array([self.curve[f"{s:g}"] for s in shares], dtype=np.float64)
        offset, slope, deviation = (float(np.interp(share, shares, rows[:, k])) for k in range(3))
        return offset, slope, deviation

    def noise(self, sighting: Sighting) -> float:
        """Return the variance that two runs of the same configuration would not share."""
        return self.variances["noise" if sighting.steps else "head noise"]

    def covariance(self, a: Sequence[Sighting], b: Sequence[Sighting]) -> Floats:
        """Return what trainings on one data set have in common beyond the linear model, (len(a), len(b))."""
        v = self.variances
        left, right = _columns(a), _columns(b)
        deep = left["deep"][:, None] * right["deep"][None, :]
        heads = (1 - left["deep"])[:, None] * (1 - right["deep"])[None, :]
        network = left["backbone"][:, None] == right["backbone"][None, :]
        strategy = left["strategy"][:, None] == right["strategy"][None, :]
        apart = ((left["place"][:, None, :] - right["place"][None, :, :]) ** 2).sum(-1)
        near = np.exp(-apart / 2) * network
        trained = v["data"] + v["network"] * network + v["strategy"] * strategy + v["near"] * near
        same = network & strategy
        return np.asarray(deep * trained + heads * (v["head data"] * strategy + v["head network"] * same))


def _columns(sightings: Sequence[Sighting]) -> dict[str, npt.NDArray[Any]]:
    places = []
    for s in sightings:
        named = s.features
        places.append([named.get("length", 0.0), named.get("rate", 0.0) / 1.5, s.candidate.size_px / 32])
    return {
        "deep": np.array([1.0 if s.steps else 0.0 for s in sightings]),
        "backbone": np.array([s.candidate.backbone for s in sightings]),
        "strategy": np.array([s.candidate.strategy for s in sightings]),
        "place": np.array(places, dtype=np.float64).reshape(len(sightings), 3),
    }


def level(loss: float | None, floor: float) -> float:
    """Return the logarithm of a log-loss over the probe's, held within what says something."""
    if loss is None or not math.isfinite(loss):
        return HIGHEST
    return min(HIGHEST, max(LOWEST, math.log(max(loss, TINY) / max(floor, TINY))))
