"""What a plugin hands over is checked member by member, with reasons that its author can act on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from advisor import plugin_validation
from advisor.errors import BrokenPluginError
from advisor.hooks import Backbone, Card, Parameter, Preprocess, Stage, TrainPlan, Weights

GOOD = Backbone(
    name="good",
    dim=4,
    stages=(Stage(name="all", prefixes=("0",)),),
    preprocess=Preprocess(size=32, resize=36),
    build=lambda: None,
)


class Probe:
    name = "probe"
    regime = "feature_extraction"
    card = "A head on frozen features."

    def applies(self, context):
        return None

    def space(self, trial, context):
        return {}

    def first_guesses(self, context):
        return [{}]

    def plan(self, parameters, context):
        return TrainPlan()


def test_numpy_values_of_a_network_become_plain_ones() -> None:
    """Recipes and results hold them as JSON and YAML."""
    offered = {
        **vars(GOOD),
        "name": np.str_("good"),
        "dim": np.int64(4),
        "macs": np.int64(5),
        "size_multiple": np.int32(2),
        "published_accuracy": np.float32(0.5),
        "stages": (Stage(name=np.str_("all"), prefixes=(np.str_("0"),)),),
        "preprocess": Preprocess(
            size=np.int64(32), resize=np.int64(36), interpolation=np.str_("bicubic"), mean=(np.float32(0.5),) * 3
        ),
        "weights": Weights(path=np.str_("/a/b.safetensors"), bytes=np.int64(3)),
    }
    checked = plugin_validation.backbone(SimpleNamespace(**offered))
    plain = {name: value for name, value in vars(checked).items() if not callable(value)}
    written = msgspec.json.decode(msgspec.json.encode(plain))
    assert (written["name"], written["macs"], written["preprocess"]["interpolation"]) == ("good", 5, "bicubic")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "two words"}, "name is 'two words'"),
        ({"name": ""}, "name is ''"),
        ({"dim": 0}, "dim is 0, expected a whole number, 1 or more"),
        ({"dim": 2.5}, "dim is 2.5"),
        ({"stages": ()}, "stages is empty"),
        ({"stages": "stem"}, "stages is 'stem', expected a tuple of Stage"),
        ({"stages": ("stem",)}, "stages holds 'stem'"),
        (
            {"stages": (Stage(name="a", prefixes="conv1"),)},
            'the text "conv1", expected a tuple: ("conv1",)',
        ),
        ({"stages": (Stage(name="a", prefixes=()),)}, "expected at least one name"),
        ({"stages": (Stage(name="a", prefixes=("x",)), Stage(name="a", prefixes=("y",)))}, 'two stages are named "a"'),
        ({"preprocess": None}, "lacks preprocess"),
        ({"preprocess": 224}, "preprocess is 224"),
        ({"preprocess": Preprocess(size=32, resize=32, std=(1, 1, float("nan")))}, "expected three numbers"),
        ({"preprocess": Preprocess(size=0, resize=4)}, "preprocess.size is 0"),
        (
            {"preprocess": Preprocess(size=4, resize=4, interpolation="cubic")},
            "expected one of nearest, bilinear",
        ),
        (
            {"preprocess": Preprocess(size=4, resize=4, mean=(0.5,))},
            "mean is (0.5,), expected three numbers",
        ),
        ({"preprocess": Preprocess(size=4, resize=4, std=(1, 1, 0))}, "expected numbers above 0"),
        ({"weights": 5}, "weights is 5"),
        ({"weights": Weights(file="a.pth")}, "neither a path nor both file and url"),
        ({"weights": Weights(file="a.pth", url="file:///a.pth")}, "expected one that starts with https://"),
        ({"weights": Weights(file="../a.pth", url="https://u")}, "a file name without folders"),
        ({"weights": Weights(file="a", url="https://u", sha256_prefix="XYZ")}, 'sha256_prefix is "XYZ"'),
        ({"weights": "relative.safetensors"}, "expected an absolute path"),
        ({"published_accuracy": 71.9}, "published_accuracy is 71.9, expected a fraction between 0 and 1"),
        ({"macs": -1}, "macs is -1"),
        ({"build": lambda size: None}, "cannot be called as build()"),
        ({"pool": lambda module, x: x}, "cannot be called as pool(module, i, x)"),
        ({"load_state": "load"}, "load_state is 'load', expected a function"),
    ],
)
def test_a_misdeclared_backbone_is_refused_with_field_value_and_expectation(changes, message: str) -> None:
    """Each wrong field is named with what it holds and what was expected."""
    with pytest.raises(BrokenPluginError) as caught:
        plugin_validation.backbone(replace(GOOD, **changes))
    assert message in str(caught.value)


def test_a_backbone_that_does_not_say_how_it_is_built_is_refused() -> None:
    """build is the one function without a default."""
    with pytest.raises(BrokenPluginError, match="does not define how it is built"):
        plugin_validation.backbone(Backbone(name="b", dim=1, stages=GOOD.stages, preprocess=GOOD.preprocess))


def test_a_good_backbone_comes_out_equal_and_hashable(tmp_path: Path) -> None:
    """Lists become tuples and a path inside the package becomes absolute; nothing else changes."""
    listed = replace(GOOD, stages=[Stage(name="all", prefixes=["0"])], weights="data/w.safetensors")
    checked = plugin_validation.backbone(listed, tmp_path)
    assert checked.stages == GOOD.stages
    assert checked.weights == Weights(file="w.safetensors", path=str(tmp_path / "data" / "w.safetensors"))
    assert checked.build is GOOD.build
    assert hash(checked) == hash(checked)


def test_any_object_with_the_members_is_a_backbone() -> None:
    """A third-party plugin need not use our class: members are enough, optional ones may be missing."""
    stage = SimpleNamespace(name="all", prefixes=["0"])
    preprocess = SimpleNamespace(size=8, resize=8, interpolation="nearest", mean=[0, 0, 0], std=[1, 1, 1])
    stranger = SimpleNamespace(name="s", dim=4, stages=[stage], preprocess=preprocess, build=lambda: "net")
    checked = plugin_validation.backbone(stranger)
    assert isinstance(checked, Backbone)
    assert checked.preprocess == Preprocess(size=8, resize=8, interpolation="nearest", mean=(0, 0, 0), std=(1, 1, 1))
    assert checked.build() == "net"
    assert checked.build_source_head is None


def test_a_subclass_keeps_its_methods() -> None:
    """A backbone written as a class with methods works as one written with functions."""

    class Mine(Backbone):
        def build(self):
            return f"net {self.dim}"

        def pool(self, module, i, x):
            return x + i

        def build_source_head(self):
            return "head"

    checked = plugin_validation.backbone(Mine(name="mine", dim=3, stages=GOOD.stages, preprocess=GOOD.preprocess))
    assert checked.build() == "net 3"
    assert checked.pool(None, 2, 5) == 7
    assert checked.build_source_head is not None
    assert checked.build_source_head() == "head"


def test_a_class_instead_of_an_instance_is_told() -> None:
    """The commonest slip has its own words."""
    with pytest.raises(BrokenPluginError, match="offers the class Probe as a strategy, expected an instance"):
        plugin_validation.strategy(Probe)


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("regime", "deep", "regime is 'deep', expected one of feature_extraction, partial, full"),
        ("card", 5, "card is 5"),
        ("plan", None, "lacks plan"),
        ("plan", "x", "plan is 'x', expected a function"),
        ("space", lambda context: {}, "cannot be called as space(trial, context)"),
    ],
)
def test_a_misdeclared_strategy_is_refused(member: str, value: object, message: str) -> None:
    """Each wrong member is named."""
    probe = Probe()
    setattr(probe, member, value)
    with pytest.raises(BrokenPluginError) as caught:
        plugin_validation.strategy(probe)
    assert message in str(caught.value)
    assert "strategy probe" in str(caught.value)


def test_a_strategy_is_kept_as_it_is_and_its_card_is_read() -> None:
    """The object itself is used; a sentence is as good as a Card."""
    probe = Probe()
    assert plugin_validation.strategy(probe) is probe
    assert plugin_validation.card(probe) == Card(what="A head on frozen features.", when="")


def test_a_property_that_raises_is_a_reason() -> None:
    """Whatever third-party code does while it is looked at becomes a reason."""

    class Angry(Probe):
        @property
        def card(self):
            raise OSError("no card today")

    with pytest.raises(BrokenPluginError, match="reading card failed: OSError: no card today"):
        plugin_validation.strategy(Angry())


RATE = Parameter(name="rate", default=0.1, meaning="peak rate")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (RATE, "card.parameters is a Parameter, expected a tuple of Parameter"),
        ("rate", "card.parameters is a str"),
        ({"rate": 0.1}, "card.parameters is a dict"),
        (({"name": "rate"},), "card.parameters holds {'name': 'rate'}, expected Parameter"),
        ((replace(RATE, kind="bool"),), "card: rate is of kind 'bool', expected float, int or choice"),
        ((replace(RATE, kind="choice", choices="ab"),), "the choices of rate are 'ab', expected a tuple"),
        ((replace(RATE, low="0"),), "rate lies between '0' and None, expected numbers or None"),
    ],
)
def test_a_card_whose_parameters_cannot_be_read_is_refused(parameters: object, message: str) -> None:
    """A forgotten comma disables that plugin; it ended every command that lists strategies."""
    odd = type("Odd", (Probe,), {"card": Card(what="A head.", when="", parameters=parameters)})()  # type: ignore[arg-type]
    with pytest.raises(BrokenPluginError) as caught:
        plugin_validation.strategy(odd)
    assert message in str(caught.value)
