"""The page that a plugin author reads: two hooks, and everything that they return.

A plugin is an importable module, named by an entry point of the group `tl_advise`, with one or both of these:

    from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

    @hookimpl
    def advisor_backbones():
        return [Backbone(name="mine", dim=64, stages=(Stage(name="stem", prefixes=("stem",)), ...), ...)]

Import torch inside functions, never at the top: listing plugins must not cost a second. Rules that `tl-advise plugins
check NAME` verifies: the stages' prefixes cover every parameter and buffer exactly once; run_stage over all stages and
then pool equals the module's forward, (N, dim). What is not covered: heads (the core's), the loss, where files live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from advisor.records.plan import (
    Augmentation,
    Batches,
    Card,
    Context,
    Head,
    OptimizerSpec,
    Parameter,
    Phase,
    Preprocess,
    ScheduleSpec,
    Stage,
    StageSize,
    Term,
    TrainPlan,
    Weights,
)

if TYPE_CHECKING:
    import torch

__all__ = [
    "Augmentation",
    "Backbone",
    "Batches",
    "Card",
    "Context",
    "Head",
    "OptimizerSpec",
    "Parameter",
    "Phase",
    "Preprocess",
    "ScheduleSpec",
    "Space",
    "Stage",
    "StageSize",
    "Strategy",
    "Term",
    "TrainPlan",
    "Weights",
    "hookimpl",
    "hookspec",
]

PROJECT = "tl_advise"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def advisor_backbones() -> list[Backbone]:  # type: ignore[empty-body]
    """Return the backbones that this plugin offers."""


@hookspec
def advisor_strategies() -> list[Strategy]:  # type: ignore[empty-body]
    """Return the strategies that this plugin offers."""


def _load_state(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    module.load_state_dict(dict(tensors))


def _build_nothing() -> torch.nn.Module:
    raise TypeError("this backbone does not say how it is built: give Backbone(build=...) or define build()")


def _default(name: str) -> Any:
    return field(default=None, metadata={"method": name})


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network without its classifier. Give the functions as arguments, or subclass and define them as methods.

    `build()` returns the module with random weights and touches neither disk nor network; its forward gives (N, dim).
    `load_state(module, tensors)` copies pretrained tensors in and may rename keys (default: load_state_dict, strict).
    `run_stage(module, i, x)` runs stage i (default: the submodules named by the stage's prefixes, one after another).
    `pool(module, i, x)` turns the output of stage i into (N, d_i) (default: mean over positions of (N, C, H, W), or
    over tokens of (N, T, C); (N, C) is left alone). `build_source_head()`, optional, maps the last activation to the
    source classes. `preprocess.size` is the default; input size is a knob. `published_accuracy` is ImageNet top-1,
    0..1, or None. `macs` are multiply-adds of one image at the default size.
    """

    name: str
    dim: int
    stages: tuple[Stage, ...]
    preprocess: Preprocess
    weights: Weights | str | None = None
    published_accuracy: float | None = None
    parameters: int | None = None
    macs: int | None = None
    source: str = ""  # paper or page, one line
    build: Callable[[], torch.nn.Module] = _default("build")
    load_state: Callable[[torch.nn.Module, Mapping[str, torch.Tensor]], None] = _default("load_state")
    run_stage: Callable[[torch.nn.Module, int, Any], Any] = _default("run_stage")
    pool: Callable[[torch.nn.Module, int, Any], torch.Tensor] = _default("pool")
    build_source_head: Callable[[], torch.nn.Module] | None = None

    def __post_init__(self) -> None:
        defaults: dict[str, Any] = {
            "build": _build_nothing,
            "load_state": _load_state,
            "run_stage": self._run_prefixes,
            "pool": _mean_over_positions,
        }
        for name, default in defaults.items():
            if self.__dict__.get(name) is None:
                object.__delattr__(self, name)  # let a subclass's method show through
                if getattr(self, name, None) is None:
                    object.__setattr__(self, name, default)
        if self.__dict__.get("build_source_head", False) is None and type(self).build_source_head is not None:
            object.__delattr__(self, "build_source_head")

    def _run_prefixes(self, module: torch.nn.Module, index: int, x: Any) -> Any:
        for prefix in self.stages[index].prefixes:
            x = module.get_submodule(prefix)(x)
        return x


def _mean_over_positions(module: torch.nn.Module, index: int, x: Any) -> torch.Tensor:
    if x.ndim == 4:
        return x.mean(dim=(2, 3))  # type: ignore[no-any-return]
    return x.mean(dim=1) if x.ndim == 3 else x  # type: ignore[no-any-return]


class Space(Protocol):
    """What `Strategy.space` draws from: Optuna's trial, with names scoped to the strategy."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number in [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Draw one of `choices`."""


@runtime_checkable
class Strategy(Protocol):
    """A way of transferring. Any object with these members; `applies`, `space`, `first_guesses` run without torch."""

    @property
    def name(self) -> str:
        """Unique, snake_case."""

    @property
    def regime(self) -> str:
        """One of "feature_extraction", "partial", "full"."""

    @property
    def card(self) -> Card | str:
        """What it is; a plain string is read as Card(what=...)."""

    def applies(self, context: Context) -> str | None:
        """None, or the reason why not."""

    def space(self, trial: Space, context: Context) -> Mapping[str, Any]:
        """Draw parameters."""

    def first_guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Give known-good parameters, best first; the first is the untuned default."""

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Turn parameters into a plan."""
