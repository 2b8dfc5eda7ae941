"""The assessment of a result: what a person is told to do with the model."""

from __future__ import annotations

import dataclasses

import results

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
