"""Which sizes and strategies compete, decided from cards and counts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from photos import write_crops

from advisor import registry
from advisor.data import dataset, profile
from advisor.hooks import Backbone
from advisor.records import Profile
from advisor.records.data import Quantiles
from advisor.tuning import candidates, regime


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The profile of some real crops."""
    return profile.measure(dataset.read(str(write_crops(tmp_path_factory.mktemp("c") / "crops"))), deep=False)


def sized(measured: Profile, px: int) -> Profile:
    """The same profile with images of `px` pixels."""
    one = Quantiles(low=px, q05=px, median=px, q95=px, high=px)
    return replace(measured, width=one, height=one)


def backbone(name: str) -> Backbone:
    """A first-party backbone."""
    return registry.load().backbone(name)


@pytest.mark.parametrize(
    ("px", "name", "expected"),
    [
        (32, "mobilenet_v2", (64, 96)),
        (80, "mobilenet_v2", (96, 160)),
        (200, "mobilenet_v2", (224, 128)),
        (500, "mobilenet_v2", (224, 128)),
        (500, "inception_v3", (299, 160)),
        (500, "pocket", (112,)),
    ],
)
def test_the_images_own_size_comes_first(measured: Profile, px: int, name: str, expected: tuple[int, ...]) -> None:
    """Small originals are also enlarged, large ones also probed at a smaller size."""
    assert candidates.sizes(sized(measured, px), backbone(name), None) == expected


def test_a_size_that_was_asked_for_is_the_only_one(measured: Profile) -> None:
    """A person's word is the last."""
    assert candidates.sizes(sized(measured, 500), backbone("mobilenet_v2"), 96) == (96,)


def test_a_third_party_strategy_comes_after_the_portfolio() -> None:
    """What is known to be good goes first; nothing is left out."""
    assert candidates.ordered(["zebra", "full", "logistic"]) == ["logistic", "full", "zebra"]


def test_few_shots_begin_with_heads() -> None:
    """Under ten images a class, class means come first."""
    assert candidates.ordered(["full", "logistic", "prototypes"], few_shot=True)[0] == "prototypes"


def test_many_images_are_stood_for_by_a_closed_form_head() -> None:
    """Where frozen features must do for fifty thousand images, the head may not take minutes."""
    strategies = registry.load().strategies
    frozen = regime.by_size(500, 10)
    assert candidates.default_strategies(frozen, strategies, 500)[0] == "logistic"
    assert candidates.default_strategies(frozen, strategies, 50_000)[0] == "ridge"


def test_a_regime_without_its_own_strategy_is_stood_for_by_another_of_it() -> None:
    """Where a person left the regime's usual strategy out, the default is still of the regime."""
    strategies = registry.load().strategies
    only = {name: strategies[name] for name in ("gradual", "lp_ft", "ridge")}
    chosen = candidates.default_strategies(regime.by_size(20_000, 10), only)[0]
    assert only[chosen].regime == "full"
