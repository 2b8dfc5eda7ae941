"""The size rule: every edge, just under, at and just over it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.records import Evidence
from advisor.records.trials import REGIMES
from advisor.tuning import regime


@pytest.mark.parametrize(
    ("images", "classes", "name", "few_shot"),
    [
        (999, 2, "feature_extraction", False),
        (1_000, 2, "partial", False),
        (1_001, 2, "partial", False),
        (9_999, 10, "partial", False),
        (10_000, 10, "full", False),
        (10_001, 10, "full", False),
        (1_019, 102, "feature_extraction", True),
        (1_020, 102, "partial", False),
        (1_021, 102, "partial", False),
        (99_999, 10_000, "feature_extraction", True),
        (100_000, 10_000, "full", False),
        (18, 2, "feature_extraction", True),
        (20, 2, "feature_extraction", False),
        (1, 1, "feature_extraction", True),
    ],
)
def test_the_rule_changes_exactly_at_its_edges(images: int, classes: int, name: str, few_shot: bool) -> None:
    """1,000 and 10,000 images and 10 images a class are where the answer changes."""
    chosen = regime.by_size(images, classes)
    assert (chosen.name, chosen.few_shot) == (name, few_shot)
    assert chosen.prior == name
    assert f"{images:,}" in chosen.reason


@given(images=st.integers(1, 10**7), classes=st.integers(1, 10**4))
def test_every_data_set_gets_an_answer(images: int, classes: int) -> None:
    """Whatever the size, one rule speaks, with a reason and an origin."""
    chosen = regime.by_size(images, classes)
    assert chosen.name in REGIMES
    assert chosen.reason
    assert chosen.origin


def test_a_person_may_overrule_and_a_typo_is_told() -> None:
    """--regime wins over the table; an unknown name lists the known ones."""
    prior = regime.by_size(100, 2)
    assert regime.override(prior, "feature-extraction").name == "feature_extraction"
    chosen = regime.override(prior, "full")
    assert (chosen.name, chosen.prior) == ("full", "feature_extraction")
    with pytest.raises(InputError, match=r"--regime ful.*feature_extraction, partial, full"):
        regime.override(prior, "ful")


def test_measurements_overrule_the_prior_and_say_so() -> None:
    """The settled regime names what the rule had said, and carries its evidence."""
    prior = regime.by_size(5_000, 10)
    evidence = Evidence(signal="full pilot", value=0.9, reference=0.8, n=200, p=0.01)
    settled = regime.settle(prior, "full", [evidence], ["+10.0 points"], ["partial was not tried"])
    assert settled.name == "full"
    assert settled.prior == "partial"
    rule = "measurements on your data outweigh the rule of thumb for your data size (partial fine-tuning)"
    assert settled.reason == f"full fine-tuning: +10.0 points; {rule}; partial was not tried"
    assert settled.evidence == (evidence,)
    agreed = regime.settle(prior, "partial", [], ["+1.0 points"])
    assert agreed.reason == "partial fine-tuning: +1.0 points; this agrees with the rule of thumb for your data size"


def test_a_regime_that_a_person_set_is_never_outweighed() -> None:
    """Where --regime was given, the reason says so, and claims neither agreement nor a measurement against the rule."""
    prior = regime.override(regime.by_size(200, 2), "partial")
    settled = regime.settle(prior, "partial", [], ["-1.0 points"])
    assert settled.forced
    assert settled.reason.endswith("set by --regime (the rule of thumb for this size is feature extraction)")
    assert settled.origin == "set by --regime"


def test_a_regime_that_a_person_set_is_said_to_be_worse_where_it_is() -> None:
    """Where another regime is more accurate beyond noise the reason says so; where nothing of the set one ended, too."""
    prior = regime.override(regime.by_size(200, 2), "full")
    worse = Evidence(signal="full against frozen", value=0.75, reference=0.9, n=200, p=0.001)
    assert regime.settle(prior, "full", [worse], ["-15.0 points"]).reason.endswith(
        "set by --regime, without which it would not be recommended (the rule of thumb for this size is feature extraction)"
    )
    noise = Evidence(signal="full against frozen", value=0.75, reference=0.76, n=200, p=0.4)
    assert regime.settle(prior, "full", [noise], ["-1.0 points"]).reason.endswith("is feature extraction)")
    frozen = regime.settle(prior, "feature_extraction", [], ["no fine-tuning was tried"])
    assert "--regime asks for full fine-tuning, which has no result" in frozen.reason
