"""A third-party plugin whose networks and strategies fail in their own code, each in its way, installed as pip would leave it.

The variable MENAGERIE names those that it offers. The networks share a small weights file beside the module;
`no_parameters` is a good one: mean colours of a grid.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import prepared_workers
import pytest
import torch
from distributions import install
from safetensors.torch import save_file

PLUGIN, DISTRIBUTION = "menagerie", "tl-menagerie"

SOURCE = '''
import os
import sys
import time
from dataclasses import dataclass
from advisor.hooks import Backbone, Card, Head, Preprocess, Stage, TrainPlan, Weights, hookimpl

passes = [0]


def chosen():
    return os.environ.get("MENAGERIE", "").split()


def build():
    from torch import nn
    return nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU())


def build_grid():
    from torch import nn
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())


def fails(*arguments):
    raise RuntimeError("it broke")


def stops(*arguments):
    sys.exit("out of order")


def hangs(*arguments):
    time.sleep(3600)


def prints(module, i, x):
    print("stage", i)
    return module(x)


def meddles(module, i, x):
    import torch
    y = module(x)
    os.chdir("/")
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    return y


def dies(*arguments):
    os.kill(os.getpid(), 11)


def run(module, i, x):
    return module(x)


def fails_fifth(module, i, x):
    passes[0] += 1
    if passes[0] >= 5:
        raise ValueError(f"pass {passes[0]}")
    return module(x)


def adds_noise(module, i, x):
    import torch
    y = module(x)
    return y + torch.rand(y.shape)


def fails_large(module, i, x):
    if x.shape[-1] > 80:
        raise IndexError("no row 81")
    return module(x)


def fails_on_test(module, i, x):
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.endswith("test_scoring.py"):
            raise OverflowError("not these images")
        frame = frame.f_back
    return module(x)


def fails_late(module, i, x):
    if os.environ.get("MENAGERIE_FAILS"):
        raise RuntimeError("it broke later")
    return module(x)


def network(name, **functions):
    good = dict(build=build, run_stage=run, dim=8)
    pre = Preprocess(size=functions.pop("size", 32), resize=32)
    stages = (Stage(name="all", prefixes=("0",)),)
    weights = Weights(path=functions.pop("weights", "menagerie.safetensors"))
    return Backbone(name=name, stages=stages, preprocess=pre, weights=weights, published_accuracy=0.99, **(good | functions))


NETWORKS = {
    "bad_build": dict(build=fails),
    "bad_forward": dict(run_stage=fails),
    "bad_exit": dict(run_stage=stops),
    "bad_crash": dict(run_stage=dies),
    "bad_fifth": dict(run_stage=fails_fifth),
    "bad_noise": dict(run_stage=adds_noise),
    "bad_batch": dict(run_stage=lambda module, i, x: module(x - x.mean(0))),
    "bad_place": dict(run_stage=lambda module, i, x: module(x.mul_(0.5))),
    "bad_large": dict(run_stage=fails_large, size=96),
    "bad_shape": dict(pool=lambda module, i, x: x),
    "bad_weights": dict(load_state=fails),
    "bad_score": dict(run_stage=fails_on_test),
    "bad_late": dict(run_stage=fails_late),
    "bad_nan": dict(run_stage=lambda module, i, x: module(x) * float("nan")),
    "bad_double": dict(pool=lambda module, i, x: x.mean((2, 3)).double()),
    "bad_rows": dict(pool=lambda module, i, x: x.mean((2, 3))[:1]),
    "bad_hang": dict(build=hangs),
    "chatty": dict(run_stage=prints),
    "meddler": dict(run_stage=meddles),
    "good": {},
    "weak": dict(run_stage=lambda module, i, x: 0 * module(x)),
    "no_parameters": dict(build=build_grid, dim=12, load_state=lambda module, tensors: None),
}


@dataclass(frozen=True)
class Ridge:
    name: str = "good_head"
    regime: str = "feature_extraction"
    card: Card = Card(what="A head.", when="Always.")

    def applies(self, context):
        return None

    def space(self, trial, context):
        return {"strength": trial.suggest_float("strength", 0.1, 10.0, log=True)}

    def first_guesses(self, context):
        return [{"strength": 1.0}]

    def plan(self, parameters, context):
        return TrainPlan(head=Head(kind="logistic", numbers={}))


class Applies(Ridge):
    def applies(self, context):
        raise KeyError("context")


class AppliesNumber(Ridge):
    def applies(self, context):
        return 3


class Guesses(Ridge):
    def first_guesses(self, context):
        return []


class Space(Ridge):
    def space(self, trial, context):
        raise ZeroDivisionError("space")


class Draws(Ridge):
    """Draws the lowest number only."""

    def space(self, trial, context):
        drawn = super().space(trial, context)
        if drawn["strength"] > 0.1:
            raise ArithmeticError("not so strong")
        return drawn


class Plan(Ridge):
    def plan(self, parameters, context):
        raise LookupError("plan")


class PlanNone(Ridge):
    def plan(self, parameters, context):
        return None


class PlanTypes(Ridge):
    def plan(self, parameters, context):
        return TrainPlan(steps="many")


class PlanSamples(Ridge):
    """Plans for its first guess only."""

    def plan(self, parameters, context):
        if parameters["strength"] != 1.0:
            raise LookupError("not this strength")
        return super().plan(parameters, context)


class GuessNan(Ridge):
    def first_guesses(self, context):
        return [{"strength": float("nan")}]


class FromNumpy(Ridge):
    """A good head whose parameters are numpy's."""

    def space(self, trial, context):
        import numpy
        return {"strength": numpy.float64(super().space(trial, context)["strength"]), "kind": numpy.str_("a")}

    def first_guesses(self, context):
        import numpy
        return [{"strength": numpy.float64(1.0), "kind": numpy.str_("a")}]


class Poor(Ridge):
    """A head that says the same of every image."""

    def plan(self, parameters, context):
        return TrainPlan(head=Head(kind="ridge", numbers={"strength": 1e12}))


class PlanRefit(Ridge):
    """Plans for the images of a fold, not for all of them."""

    def plan(self, parameters, context):
        if context.images > 16:
            raise LookupError("so many images")
        return super().plan(parameters, context)


class PlanRefitHead(Ridge):
    """Plans for all images with a head that does not exist."""

    def plan(self, parameters, context):
        return TrainPlan(head=Head(kind="logistic" if context.images <= 16 else "oracle", numbers={}))


STRATEGIES = [
    Applies("bad_applies"), AppliesNumber("bad_number"), Guesses("bad_guesses"), Space("bad_space"), Draws("bad_draws"),
    Plan("bad_plan"), PlanNone("bad_none"), PlanTypes("bad_types"), PlanSamples("bad_samples"), Ridge(),
    GuessNan("bad_nan_guess"), FromNumpy("numpy_head"), Poor("poor_head"),
    PlanRefit("bad_refit"), PlanRefitHead("bad_refit_head"),
]


@hookimpl
def advisor_backbones():
    return [network(name, **functions) for name, functions in NETWORKS.items() if name in chosen()]


@hookimpl
def advisor_strategies():
    return [s for s in STRATEGIES if s.name in chosen()]
'''


@contextmanager
def installed(site: Path) -> Iterator[None]:
    """Install the plugin, for this process and for the workers that it starts: forks of one that sees the plugin as well."""
    install(site, DISTRIBUTION, {PLUGIN: "menagerie_plugin"}, {"menagerie_plugin": SOURCE})
    torch.manual_seed(0)
    save_file(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4)).state_dict(), site / "menagerie.safetensors")
    forks = prepared_workers.Subprocess()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", str(site))
        patch.setattr("advisor.execution.worker.subprocess", forks)
        yield
        sys.modules.pop("menagerie_plugin", None)  # it names files of a folder that goes with the tests of this one
    forks.close()
