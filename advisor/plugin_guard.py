"""Third-party networks and strategies whose own code fails: the failure named with its plugin, in an error that can be caught.

In: what a plugin of another distribution offers. Out: the same, every function of it guarded: an exception becomes a
BackboneError or StrategyError, and a strategy that fails on its own first guesses does not apply. Short memory stays what
it is. Our own plugins are not guarded, and the conformance kit sees what a plugin raises. Does NOT cover: importing
(`plugin_loading`), what a search does without them (`tuning.faults.left_out`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from advisor.errors import AdviseError, BackboneError, RecipeError, StrategyError, is_out_of_memory, one_line
from advisor.hooks import Backbone, Card, Context, Space, Strategy, TrainPlan
from advisor.plugin_loading import PluginContents, Resolver
from advisor.records import recipe_file
from advisor.runtime.process import third_party
from advisor.runtime.process.plain_values import is_finite, is_utf8, plain

# A failing load_state is a WeightsError of `models.backbone`: mostly it is the file that does not fit.
_CALLS = ("build", "run_stage", "pool", "build_source_head")

WITHOUT_PLUGIN = "--block, or TL_ADVISE_PLUGINS=-PLUGIN with any command, leaves its plugin out"
NOTHING_TO_TRAIN = "nothing in this network can be trained"


class Failure(str):
    """A reason why a strategy does not apply that is a failure of its own code."""


def guarded(offer: PluginContents, plugin: str) -> PluginContents:
    """Return what a plugin offers with its functions guarded; `plugin` names it in errors."""
    resolver = None if offer.resolver is None else _GuardedResolver(offer.resolver, plugin)
    return replace(
        offer,
        backbones=tuple(guarded_backbone(b, plugin) for b in offer.backbones),
        strategies=tuple(GuardedStrategy(s, plugin) for s in offer.strategies),
        resolver=resolver,
    )


@dataclass(frozen=True)
class _GuardedResolver:
    resolver: Resolver
    plugin: str

    def __call__(self, name: str) -> Backbone | None:
        backbone = self.resolver(name)
        return None if backbone is None else guarded_backbone(backbone, self.plugin)


# ---- networks ----------------------------------------------------------------------------------------------------


def backbone_error(name: str, plugin: str, what: str) -> BackboneError:
    """Return the error of a network that failed; `what` says how."""
    reason = f"{plugin} failed: {what}"
    hint = f"`tl-advise plugins check {name}` tests it; {WITHOUT_PLUGIN}."
    return BackboneError(f"network {name}: {reason}.", hint=hint, backbone=name, reason=reason)


def guarded_backbone(backbone: Backbone, plugin: str) -> Backbone:
    """Return a backbone whose functions raise BackboneError where they fail."""
    functions = {name: getattr(backbone, name) for name in _CALLS}
    calls: dict[str, Any] = {
        n: _GuardedCall(f, backbone.name, plugin, n) for n, f in functions.items() if f is not None
    }
    return replace(backbone, **calls)


@dataclass(frozen=True)
class _GuardedCall:
    function: Callable[..., Any]
    backbone: str
    plugin: str
    member: str

    def __call__(self, *args: Any, **options: Any) -> Any:
        try:
            with third_party.contained():
                return self.function(*args, **options)
        except AdviseError:
            raise
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise
            raise backbone_error(self.backbone, self.plugin, _raised(self.member, error)) from error


# ---- strategies --------------------------------------------------------------------------------------------------


class GuardedStrategy:
    """A third-party strategy whose functions raise StrategyError where they fail, or return what no search can use."""

    def __init__(self, strategy: Strategy, plugin: str) -> None:
        self._strategy = strategy
        self._plugin = plugin

    @property
    def name(self) -> str:
        """The strategy's name."""
        return str(plain(self._strategy.name))

    @property
    def regime(self) -> str:
        """The strategy's regime."""
        return str(plain(self._strategy.regime))

    @property
    def card(self) -> Card | str:
        """The strategy's card."""
        return _plain_card(self._strategy.card)

    def applies(self, context: Context) -> str | None:
        """Return None where it applies, else its reason; a `Failure` where its code fails here, on its first guesses too."""
        try:
            reason = plain(self._call("applies", context))
            if reason is not None and not isinstance(reason, str):
                raise self.failure(f"applies() returned {reason!r:.80}, expected None or text")
            if reason is None and self.regime != "feature_extraction" and not any(s.parameters for s in context.stages):
                return NOTHING_TO_TRAIN
            if reason is None:
                self._rehearse(context)
        except StrategyError as error:
            return Failure(error.reason)
        return reason

    def space(self, trial: Space, context: Context) -> Mapping[str, Any]:
        """Draw parameters."""
        return self._parameters("space", self._call("space", trial, context))

    def first_guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return known-good parameters, at least one set."""
        guesses = self._call("first_guesses", context)
        if isinstance(guesses, str | Mapping) or not isinstance(guesses, Sequence) or not guesses:
            raise self.failure(f"first_guesses() returned {guesses!r:.80}, expected a list of parameters")
        return [self._parameters("first_guesses", parameters) for parameters in guesses]

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Return the plan, its fields of the types that they are declared with."""
        plan = self._call("plan", parameters, context)
        if not isinstance(plan, TrainPlan):
            raise self.failure(f"plan() returned a {type(plan).__name__}, expected a TrainPlan")
        try:
            fields = msgspec.to_builtins(plan, enc_hook=_plain_scalar)
            written = msgspec.convert(fields, TrainPlan)
        except (msgspec.ValidationError, TypeError) as error:
            raise self.failure(f"plan() returned a plan that cannot be written down: {one_line(error)}") from error
        if not is_finite(fields):
            raise self.failure("plan() returned a plan with a number that is not finite")
        return written

    def _rehearse(self, context: Context) -> None:
        for parameters in self.first_guesses(context):
            self.plan(parameters, context)
        self.space(_LowestDraws(), context)

    def _parameters(self, member: str, parameters: Any) -> Mapping[str, Any]:
        if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
            raise self.failure(f"{member}() returned {parameters!r:.80}, expected parameters by name")
        plain_parameters = {str(plain(name)): plain(value) for name, value in parameters.items()}
        for name, value in plain_parameters.items():
            if value is not None and not isinstance(value, str | int | float):
                raise self.failure(f"{member}() returned {name}={value!r:.80}, expected a number or text")
            if not is_finite(value):
                raise self.failure(f"{member}() returned {name}={value!r}, expected a finite number")
            if not is_utf8(f"{name}{value}"):
                raise self.failure(f"{member}() returned {name!a}={value!a:.80}, expected text that UTF-8 can hold")
        try:
            recipe_file.check_parameters(self, plain_parameters, path=f"{member}()")
        except RecipeError as error:  # no rerun would take them
            raise self.failure(f"{error.what} (by its card)") from error
        return plain_parameters

    def _call(self, member: str, *args: Any) -> Any:
        try:
            with third_party.contained():
                return getattr(self._strategy, member)(*args)
        except StrategyError:
            raise
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise
            raise self.failure(_raised(member, error)) from error

    def failure(self, what: str) -> StrategyError:
        """Return the error of this strategy, which did `what`, with its plugin's name."""
        reason = f"{self._plugin} failed: {what}"
        hint = f"`tl-advise plugins check {self.name}` tests it; {WITHOUT_PLUGIN}."
        return StrategyError(f"strategy {self.name}: {reason}.", hint=hint, strategy=self.name, reason=reason)


class _LowestDraws:
    """A `Space` that draws the lowest number and the first choice."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(low)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return int(low)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return next(iter(choices))


def _plain_scalar(value: Any) -> Any:
    """Return what msgspec cannot write down as a plain value. Raises TypeError where it is none."""
    scalar = plain(value)
    if type(scalar) is type(value):
        raise TypeError(f"it contains a {type(value).__name__}")
    return scalar


def _plain_card(card: Card | str) -> Card | str:
    if not isinstance(card, Card):
        return str(plain(card))
    parameters = []
    for parameter in card.parameters:
        fields = {
            name: plain(getattr(parameter, name)) for name in ("name", "default", "meaning", "kind", "low", "high")
        }
        choices = tuple(plain(choice) for choice in parameter.choices)
        parameters.append(replace(parameter, **fields, choices=choices))
    return replace(card, parameters=tuple(parameters))


def _raised(member: str, error: BaseException) -> str:
    return f"{member}() raised {type(error).__name__}: {one_line(error)}"
