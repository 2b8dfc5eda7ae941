"""Rules of the records of trials: names that code compares are types, and stored text is read strictly."""

from __future__ import annotations

import msgspec
import pytest

from advisor.records import Candidate, Trial
from advisor.records.trials import REGIME_WORDS, REGIMES, regime_name

RIDGE = Candidate(backbone="pocket", strategy="ridge", parameters={})


def test_regimes_have_words_and_one_spelling() -> None:
    """Every regime has its words; a name that is no regime is refused with those that are."""
    assert set(REGIME_WORDS) == set(REGIMES)
    assert [regime_name(name) for name in REGIMES] == list(REGIMES)
    with pytest.raises(ValueError, match="expected one of feature_extraction, partial, full"):
        regime_name("deep")


@pytest.mark.parametrize(
    ("origin", "kind"),
    [("default", "default"), ("guess: full 2", "guess"), ("promoted: 7", "promoted"), ("probe", "probe")],
)
def test_the_kind_of_an_origin_is_its_first_word(origin: str, kind: str) -> None:
    """What follows the colon is a detail for people."""
    assert Candidate(backbone="a", strategy="b", parameters={}, origin=origin).origin_kind == kind


def test_an_unknown_origin_is_refused() -> None:
    """A proposer that nobody declared is an error, not a guess."""
    with pytest.raises(ValueError, match="unknown origin"):
        _ = Candidate(backbone="a", strategy="b", parameters={}, origin="magic").origin_kind


def test_a_trial_of_an_older_release_is_read() -> None:
    """A record without `failure_kind` reads as one that did not fail for a reason that the search acts on."""
    trial = Trial(number=3, candidate=RIDGE, regime="full", state="failed", error="no", failure_kind="diverged")
    fields = msgspec.to_builtins(trial)
    assert msgspec.convert(fields, type=Trial) == trial
    del fields["failure_kind"]
    assert msgspec.convert(fields, type=Trial).failure_kind == ""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**fields, "state": "lost"}, type=Trial)
