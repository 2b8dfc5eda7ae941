"""The assessment of a result: what a person is told to do with the model."""

from __future__ import annotations

import dataclasses

import results

from advisor.records import StoppedBecause, Untried
from advisor.reporting import assessment, report


def test_no_better_than_guessing_is_said_plainly() -> None:
    """Where the test does not beat always answering the largest class, the verdict is not to use the model."""
    done = results.final()
    assert done.test is not None
    poor = dataclasses.replace(done, test=dataclasses.replace(done.test, accuracy=0.27, ci95=(0.17, 0.4)))
    judged = assessment.assess(poor)
    assert judged.state == "bad"
    assert judged.verdict.startswith("Do not use it: it is not better than always answering ants")
    assert not any("predict" in step.command for step in judged.steps)
    assert judged.verdict.split(":")[0] in report.render(poor, results.profile(), ())


def test_more_time_is_suggested_only_where_time_was_short() -> None:
    """A regime that would have fitted, and of which nothing was expected, is no reason for a longer run."""
    done = results.final()
    budget = dataclasses.replace(done.budget, asked_s=180.0)
    stopped = StoppedBecause(reason="gain", text="no candidate that fits is expected to lower the log-loss by 1%")

    def advised(needs_s: float, left_s: float) -> list[str]:
        untried = Untried(regime="partial", text="was not tried", needs_s=needs_s, left_s=left_s)
        one = dataclasses.replace(done, budget=budget, stopped_because=stopped, untried=(untried,))
        return [step.text for step in assessment.assess(one).steps if "more time" in step.text]

    assert advised(28.8, 29.8) == []
    assert advised(60.0, 29.8) == ["Give it more time: partial fine-tuning did not fit into the budget."]


def test_few_images_are_not_a_bad_model() -> None:
    """Four test images, all right, prove nothing: that is said, and not that the model must not be used."""
    done = results.final(2, 2)
    assert done.test is not None
    right = dataclasses.replace(done.test, accuracy=1.0, ci95=(0.51, 1.0))
    judged = assessment.assess(dataclasses.replace(done, test=right, learned=False, majority=0.5))
    assert judged.state == "uncertain"
    assert judged.verdict == "Too few test images (4) to show that it is better than always answering ants (50.0 %)."
    assert any("Add test images" in step.text for step in judged.steps)


def test_a_low_promise_keeps_a_digit() -> None:
    """Of a thousand classes, a lower bound of 0.96 % is no promise of 0 %."""
    done = results.final()
    assert done.test is not None
    low = dataclasses.replace(done.test, accuracy=0.012, ci95=(0.0096, 0.0143))
    judged = assessment.assess(dataclasses.replace(done, test=low, learned=True, majority=0.001))
    assert judged.verdict.startswith("Expect at least 0.9 % right")
