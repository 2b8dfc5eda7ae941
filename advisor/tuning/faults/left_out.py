"""What fails in its own code is left out of a search, written down with its reason, and the search goes on with the rest.

In: a run and what failed in it. Out: `run.faults`, in left-out.json and on the screen; an error that names the first reason
where nothing is left. Does NOT cover: how a failure gets its name (`plugin_guard`), how a result states it (`fault`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from advisor.errors import (
    AdviseError,
    BackboneError,
    OutOfMemoryError,
    PluginError,
    RefitError,
    StrategyError,
    WeightsError,
    WorkerLostError,
    one_line,
)
from advisor.hooks import Backbone
from advisor.plugin_guard import Failure
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions.search_policy import SearchPolicy
from advisor.tuning.faults.fault import Fault
from advisor.tuning.search_run import SearchRun
from advisor.tuning.trials.study import key

FILE = "left-out.json"
# What a network may raise without ending the run. Others, such as a full disk, are no fault of the network.
NETWORK_FAILURES = (BackboneError, PluginError, WeightsError, OutOfMemoryError, WorkerLostError)
T = TypeVar("T")


def read(run: SearchRun, *, retry: bool = False) -> None:
    """Read what an earlier process of this run left out; with `retry` all but what may be over by now."""
    listed = run.rundir.read(FILE, list[Fault]) or []
    run.faults = [fault for fault in listed if not (retry and fault.passing)]


def add(run: SearchRun, fault: Fault) -> None:
    """Leave something out, and write and say so."""
    if fault not in run.faults:
        run.faults.append(fault)
        run.rundir.write(FILE, run.faults)
        run.rundir.log("left out", at_s=run.clock.used_s, what=str(fault))
        run.listener.note(str(fault))


def add_network(run: SearchRun, name: str, error: AdviseError, size_px: int | None = None) -> None:
    """Leave a network out, or one input size of it, because of what its code raised."""
    if isinstance(error, WorkerLostError):
        run.deaths = 0  # it was this network's: others begin anew
    if isinstance(error, PluginError | WeightsError) or len(run.facts.sizes.get(name, ())) == 1:
        size_px = None  # it cannot be built, or there is no other size
    reason = error.reason if isinstance(error, BackboneError) else one_line(Exception(error.what))
    plugin = str(run.facts.registry.plugin(name))
    if run.restarts(name) is not None and not reason.startswith(plugin):
        reason = f"{plugin}: {reason}"
    passing = isinstance(error, WeightsError | OutOfMemoryError | WorkerLostError)
    add(run, Fault(backbone=name, size_px=size_px, reason=reason, passing=passing))


def add_refit(run: SearchRun, error: RefitError) -> None:
    """Leave out the trial that cannot be trained on all images, with all of its strategy where the strategy's code failed."""
    scored = [t for t in (*run.probes, *run.study.trials()) if t.state == "complete"]
    failed = next(t.candidate for t in scored if t.number == error.trial)
    same = [t for t in scored if key(t.candidate) == key(failed)]  # a trial, and the probe that it repeated
    if error.strategy:
        same = [t for t in scored if t.candidate.strategy == failed.strategy]
    add(run, Fault(strategy=failed.strategy, trials=tuple(t.number for t in same), reason=error.reason))


def describe(run: SearchRun, backbones: Sequence[Backbone]) -> list[Backbone]:
    """Describe these networks in a worker, and return those that can be. Raises the first error where none can."""
    errors: list[AdviseError] = []
    for backbone in backbones:
        if not run.is_left_out(backbone.name):
            try:
                run.describe([backbone.name])
            except NETWORK_FAILURES as error:
                errors.append(error)
                add_network(run, backbone.name, error)
    usable = [b for b in backbones if not run.is_left_out(b.name)]
    if not usable:
        raise _nothing_left(run, backbones, errors[0] if errors else None)
    return usable


def check_probed(run: SearchRun, backbones: Sequence[Backbone]) -> None:
    """Leave out the networks that failed at every size. Raises the first failure where that is all of them."""
    for backbone in backbones:
        failed = [f for f in run.faults if f.backbone == backbone.name]
        sizes = {BackboneAtSize(backbone.name, px) for px in run.facts.sizes[backbone.name]}
        if failed and not run.is_left_out(backbone.name) and all(run.state().is_left_out(at) for at in sizes):
            add(run, replace(failed[0], size_px=None, passing=any(f.passing for f in failed)))
    if backbones and all(run.is_left_out(b.name) for b in backbones):
        raise _nothing_left(run, backbones, None)


def _nothing_left(run: SearchRun, backbones: Sequence[Backbone], error: AdviseError | None) -> AdviseError:
    """Return the error for a search without networks, and forget what was left out: what is mended may be resumed."""
    faults = [f for f in run.faults if f.backbone in {b.name for b in backbones}]
    run.rundir.write(FILE, [])
    first = faults[0]
    if error is not None and len(backbones) == 1:
        return error
    hint = (
        f"`tl-advise plugins check {first.backbone}` tests it; `tl-advise weights` lists networks that could be used."
    )
    if len(backbones) == 1:
        return BackboneError(f"network {first.backbone}: {first.reason}.", hint=hint, backbone=first.backbone)
    what = f"none of the {len(backbones)} networks can be used; the first, {first.backbone}: {first.reason}."
    return BackboneError(what, hint=hint, backbone=first.backbone) if error is None else type(error)(what, hint=hint)


# ---- strategies --------------------------------------------------------------------------------------------------


def note_strategies(run: SearchRun) -> None:
    """Note the strategies whose code fails where a network was probed; there they do not apply."""
    state = run.state()
    contexts = [state.context(*at) for at in dict.fromkeys(BackboneAtSize.of(p.candidate) for p in state.probes)]
    for name, strategy in run.facts.strategies.items():
        reasons = [strategy.applies(context) for context in contexts]
        reason = next((r for r in reasons if isinstance(r, Failure)), None)
        if reason is not None:
            add(run, Fault(strategy=name, reason=str(reason)))


def without_failing(run: SearchRun, decide: SearchPolicy, step: Callable[[], T]) -> T:
    """Run a step of the search; where a strategy's code fails in it, decide again without that strategy.

    Raises StrategyError where no strategy would be left and nothing was tried.
    """
    while True:
        try:
            return step()
        except StrategyError as error:
            remaining = {n: s for n, s in run.facts.strategies.items() if n != error.strategy}
            if len(remaining) == len(run.facts.strategies) or not (remaining or run.study.candidates()):
                raise
            add(run, Fault(strategy=error.strategy, reason=error.reason))
            run.facts = replace(run.facts, strategies=remaining)
            decide.reconsider()
