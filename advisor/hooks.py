"""What a plugin author imports: the hooks, and everything that they return.

A plugin is an importable module, named by an entry point of the group `tl_advise`, with one or more of the hooks:

    from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

    @hookimpl
    def advisor_backbones():
        return [Backbone(name="mine", dim=64, stages=(Stage(name="stem", prefixes=("stem",)), ...), ...)]

Import torch inside functions, never at the top: listing plugins must not cost a second. Rules that `tl-advise plugins
check NAME` verifies: the stages' prefixes cover every parameter and buffer exactly once; run_stage over all stages and
then pool equals the module's forward, (N, dim). Does NOT cover: heads and the loss, which are the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from advisor.records.data import LabelledFile, Listing, ReadOptions
from advisor.records.plan import (
    AUGMENTATION_LEVELS,
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
from advisor.records.trials import RegimeName

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = [
    "AUGMENTATION_LEVELS",
    "Augmentation",
    "Backbone",
    "Batches",
    "Card",
    "Context",
    "Head",
    "LabelledFile",
    "Layout",
    "Listing",
    "OptimizerSpec",
    "Parameter",
    "Phase",
    "Preprocess",
    "ReadOptions",
    "RegimeName",
    "ScheduleSpec",
    "Space",
    "Stage",
    "StageSize",
    "Strategy",
    "Term",
    "TermInputs",
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
def advisor_resolve_backbone(name: str) -> Backbone | None:
    """Return the backbone that `name` means, where this plugin understands more names than it lists; else None.

    The backbone's own name may be longer (a version that `name` left open). Raises PluginError, with a hint, where the
    name is this plugin's to answer and there is no such network.
    """


@hookspec
def advisor_strategies() -> list[Strategy]:  # type: ignore[empty-body]
    """Return the strategies that this plugin offers."""


@hookspec
def advisor_layouts() -> list[Layout]:  # type: ignore[empty-body]
    """Return the arrangements of labelled images on disk that this plugin reads."""


def load_tensors(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into a module by name, every one of them: the default of `Backbone.load_state`."""
    module.load_state_dict(dict(tensors))


def build_nothing() -> torch.nn.Module:
    """Raise TypeError: the default of `Backbone.build`, which every backbone must replace."""
    raise TypeError("this backbone does not define how it is built: pass Backbone(build=...) or define build()")


def mean_over_positions(module: torch.nn.Module, index: int, x: Any) -> torch.Tensor:
    """Return (N, C) from (N, C, H, W), (N, T, C) or (N, C): the default of `Backbone.pool`."""
    if x.ndim == 4:
        return x.mean(dim=(2, 3))  # type: ignore[no-any-return]
    return x.mean(dim=1) if x.ndim == 3 else x  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network without its classifier. Pass the functions as arguments, or subclass and define them as methods.

    `build()` returns the module with random weights and touches neither disk nor network; its forward returns (N, dim).
    `load_state(module, tensors)` copies pretrained tensors in and may rename keys (default: load_state_dict, strict).
    `run_stage(module, i, x)` runs stage i (default: the submodules named by the stage's prefixes, one after another).
    `pool(module, i, x)` turns the output of stage i into (N, d_i) (default: mean over positions of (N, C, H, W), or
    over tokens of (N, T, C); (N, C) stays as it is). `build_source_head()`, optional, maps the last activation to the
    source classes. `preprocess.size` is the default; input size is a hyper-parameter. `published_accuracy` is ImageNet
    top-1, 0..1, or None. `macs` are multiply-adds of one image at the default size.

    `size_multiple`: input sizes are rounded to multiples of it (the patch of a transformer; the size itself where the network
    takes no other). `frozen_only`, where not empty, is the reason why the network cannot be cut into stages: its features
    are used as they are, and nothing in it is trained. `pretraining`: "supervised", "self_supervised", "image_text", or ""
    where it is unknown. `transfer_accuracy` is what frozen features reach on ImageNet (linear probe; zero-shot where only
    that is published), 0..1: comparable within one kind of pretraining.
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
    size_multiple: int = 1
    frozen_only: str = ""
    pretraining: str = ""
    transfer_accuracy: float | None = None
    build: Callable[[], torch.nn.Module] = None  # type: ignore[assignment]  # None: the subclass's method, or the default
    load_state: Callable[[torch.nn.Module, Mapping[str, torch.Tensor]], None] = None  # type: ignore[assignment]
    run_stage: Callable[[torch.nn.Module, int, Any], Any] = None  # type: ignore[assignment]
    pool: Callable[[torch.nn.Module, int, Any], torch.Tensor] = None  # type: ignore[assignment]
    build_source_head: Callable[[], torch.nn.Module] | None = None

    def __post_init__(self) -> None:
        """Settle each function: the argument, else the subclass's method, else the default."""
        defaults: dict[str, Callable[..., Any] | None] = {
            "build": build_nothing,
            "load_state": load_tensors,
            "run_stage": self._run_prefixes,
            "pool": mean_over_positions,
            "build_source_head": None,
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                method = getattr(type(self), name)  # a subclass's method; None where it defines none
                object.__setattr__(self, name, default if method is None else method.__get__(self))

    def _run_prefixes(self, module: torch.nn.Module, index: int, x: Any) -> Any:
        for prefix in self.stages[index].prefixes:
            x = module.get_submodule(prefix)(x)
        return x


@dataclass(frozen=True, kw_only=True)
class TermInputs:
    """One training step, as a loss term receives it: `features` (N, D), `logits` (N, K), `labels` (N,), the target's (M, ...).

    `support` (N,) marks the images of an episode whose labels are given, None where the plan draws no episodes.
    `parameters` are those that train in this step, `start` the weights before the first step; both by name, "body...." or
    "head....". The target fields are None where the plan has no target stream. `companion` holds the term's own
    parameters, where its function has an attribute `companion`: a function of (width, classes) that builds them.
    `teacher` (N, K) and `target_teacher` (M, K) are log-probabilities of another model for the same views of the images,
    None where none taught.
    """

    step: int
    steps: int
    features: torch.Tensor
    logits: torch.Tensor
    labels: torch.Tensor
    parameters: Mapping[str, torch.nn.Parameter] = field(default_factory=dict)
    start: Mapping[str, torch.Tensor] = field(default_factory=dict)
    target_features: torch.Tensor | None = None
    target_logits: torch.Tensor | None = None
    support: torch.Tensor | None = None
    companion: torch.nn.Module | None = None
    teacher: torch.Tensor | None = None
    target_teacher: torch.Tensor | None = None


class Space(Protocol):
    """What `Strategy.space` draws from: Optuna's trial, with names prefixed by the strategy."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number in [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Draw one of `choices`."""


@runtime_checkable
class Strategy(Protocol):
    """A way of transferring: any object with these members; `applies`, `space`, `first_guesses` run without torch."""

    @property
    def name(self) -> str:
        """Unique name, snake_case."""

    @property
    def regime(self) -> str:
        """How much of the network it trains, a `RegimeName`: "feature_extraction", "partial" or "full"."""

    @property
    def card(self) -> Card | str:
        """Its description and parameters; a plain string is read as Card(what=...)."""

    def applies(self, context: Context) -> str | None:
        """Return None where it applies, else the reason why it does not."""

    def space(self, trial: Space, context: Context) -> Mapping[str, Any]:
        """Draw parameters from the search space; return what is drawn as it was drawn, under the same name.

        Between contexts only the ranges of a name may differ, not its choices, its kind or a log scale.
        """

    def first_guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return known-good parameters, best first, the same for the same context; the first is the untuned default."""

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Return the plan that these parameters make."""


@runtime_checkable
class Layout(Protocol):
    """An arrangement of labelled images on disk: any object with these members. None of them opens an image."""

    @property
    def name(self) -> str:
        """Unique name, for `--layout` and for what `inspect` prints."""

    def recognise(self, path: Path, options: ReadOptions) -> bool:
        """Return True where this layout reads the folder or file; it is called on every data set, so be strict and quick."""

    def read(self, path: Path, options: ReadOptions) -> Listing:
        """List the labelled files. Raises advisor.errors.InputError, with a hint, where the user must mend something."""

    def example(self, folder: Path) -> Path:
        """Write a small data set of this layout into an empty folder, for `tl-advise plugins check`; return its path."""
