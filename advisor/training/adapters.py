"""Adapters: small trainable modules that a plan puts into the stages that train, and takes out again at the end.

A plan names them as "module:function", called as `adapt(modules, *, seed, **numbers)` once per stage that trains, with
the stage's modules by dotted name. It puts trainable parameters into them (with the outputs unchanged, so that training
starts from the pretrained network) and returns a function that takes them out and leaves what they learned in the
network's own weights. Afterwards export, prediction and recipes see a plain
network. Does NOT cover: any particular adapter; they live with their strategies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from advisor.errors import TrialError
from advisor.hooks import Backbone
from advisor.models import backbone as backbones
from advisor.records.plan import Term, TrainPlan
from advisor.runtime import rng
from advisor.training import loss_terms


@dataclass(frozen=True)
class Adapters:
    """What was put into a network: the parameters that are new, and how each stage's are taken out."""

    parameters: tuple[nn.Parameter, ...] = ()
    _undo: tuple[Callable[[], None], ...] = ()
    _term: Term = Term(function="")
    _names: frozenset[str] = frozenset()  # of the network's own parameters

    def take_out(self, body: nn.Module) -> None:
        """Merge the adapters into the network's own weights, and remove them. Raises StrategyError where some stay."""
        for undo in self._undo:
            with loss_terms.named(self._term):
                undo()
        if self._undo:
            changed = self._names.symmetric_difference(name for name, _ in body.named_parameters())
            if changed:
                first = sorted(changed)[0]
                what = f"did not restore the network's parameters when it was taken out, {first} first"
                raise loss_terms.failure(self._term, what)


def put_in(plan: TrainPlan, backbone: Backbone, body: nn.Module, seed: int) -> Adapters:
    """Insert the plan's adapter into every stage that trains at some step; nothing where the plan has none.

    Raises TrialError where the adapter finds nothing to adapt in any of them, StrategyError where its code fails,
    PluginError where it cannot be imported.
    """
    if plan.adapter is None:
        return Adapters()
    adapt = loss_terms.load(plan.adapter)
    trained = {name for phase in plan.phases for name, rate in phase.rates.items() if rate > 0}
    names = frozenset(name for name, _ in body.named_parameters())
    original = {id(parameter) for parameter in body.parameters()}
    inside = backbones.modules_by_stage(backbone, body)
    with loss_terms.named(plan.adapter):
        undo = tuple(
            adapt(dict(modules), seed=rng.key(seed, "adapter", index), **plan.adapter.numbers)
            for index, (stage, modules) in enumerate(zip(backbone.stages, inside, strict=True))
            if stage.name in trained
        )
    wrong = next((taken_out for taken_out in undo if not callable(taken_out)), undo)
    if wrong is not undo:
        raise loss_terms.failure(
            plan.adapter, f"returned a {type(wrong).__name__}, expected what takes the adapter out"
        )
    added = tuple(parameter for parameter in body.parameters() if id(parameter) not in original)
    if not added:
        raise TrialError(f"{plan.adapter.function} found nothing to adapt in {', '.join(sorted(trained))}")
    return Adapters(added, undo, plan.adapter, names)
