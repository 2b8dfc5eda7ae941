"""Numbers, settings and regimes in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import results

from advisor.reporting import wording


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (wording.percent(0.9412), "94.1 %"),
        (wording.percent(4999 / 5000), "99.98 %"),
        (wording.percent(0.0004), "0.04 %"),
        (wording.percent(299 / 300, 0), "99.7 %"),
        (wording.percent(0.999999, 0), "100 %"),
        (wording.percent(1.0), "100.0 %"),
        (wording.percent(0.0), "0.0 %"),
        (wording.tick(0.925), "92.5 %"),
        (wording.tick(0.9), "90 %"),
        (wording.percent(None), "–"),
        (wording.percent(float("nan")), "–"),
        (wording.points(0.0131), "+1.3 points"),
        (wording.points(-0.0131), "−1.3 points"),
        (wording.points(0.0001), "±0.0 points"),
        (wording.point_span((-0.01, 0.02)), "−1.0 to +2.0 points"),
        (wording.duration(9.51), "9.5 s"),
        (wording.duration(59.7), "1 min"),
        (wording.duration(172.2), "2 min 52 s"),
        (wording.duration(3725), "1 h 2 min"),
        (wording.number(50000), "50,000"),
        (wording.number(0.123456), "0.123"),
        (wording.number(1279.5), "1,280"),
        (wording.number(float("inf")), "–"),
        (wording.significant(143.2, 2), "140"),
        (wording.significant(8.94, 2), "8.9"),
        (wording.in_epochs(1.0), "1 epoch"),
        (wording.times(1), "1 time"),
        (wording.images(1, "test"), "1 test image"),
        (wording.images(2), "2 images"),
        (wording.settings({}), "no parameters"),
        (wording.settings({"a": True, "b": 1e-5, "c": None}), "a yes, b 1e-05, c –"),
        (wording.regime("new_kind"), "new kind"),
    ],
)
def test_numbers_in_words(got: str, want: str) -> None:
    """Numbers are written as a person reads them."""
    assert got == want


def test_why_there_is_no_gain() -> None:
    """Without a test set nothing can be compared, and no lack of time is blamed for it."""
    without = replace(results.final(), gain=None)
    assert wording.gain(replace(without, test=None)).endswith("(there is no test set).")
    assert wording.gain(without).endswith("(which has no test score).")
