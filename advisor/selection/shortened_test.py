"""A sample of the held-out test set, if the machine became so slow that evaluating all of it would exceed the budget.

In: a run whose models are refitted. Out: the context with fewer test images and a warning. Does NOT cover: the sample that a
short budget takes from the start (`tuning.budget`), evaluating it (`run_end`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from advisor.data import subsample
from advisor.records import Trial
from advisor.selection import result_builder
from advisor.tuning import cost_model, policy
from advisor.tuning.search_run import SearchRun


def shorten(run: SearchRun, context: result_builder.RunContext, scoring: Sequence[Trial]) -> result_builder.RunContext:
    """Return the context with a sample of the test set if evaluating all of it by these trials would exceed the budget.

    The sample is fixed by content, no prediction decides it; its size is written down before any test image is read.
    """
    size = run.rundir.read("test_sample.json", int)
    if size is None and run.facts.has_deadline and not (run.rundir.path / "test.json").is_file():
        for _ in range(policy.LAST_READINGS):
            run.observe_slowdown()
        needed_s = cost_model.test_scoring_s(run.state(), [t.candidate for t in scoring])
        left_s = run.clock.left_s - cost_model.writing_s(run.state())
        fits = int(len(context.used.test) * max(0.0, left_s) / max(needed_s, 1e-9))
        if max(fits, policy.MIN_TEST_IMAGES) < len(context.used.test):
            size = max(fits, policy.MIN_TEST_IMAGES)
            run.rundir.write("test_sample.json", size)
            run.rundir.log("test shortened", at_s=run.clock.used_s, size=size, needed_s=needed_s, left_s=left_s)
    return context if size is None else _sampled(context, size)


def first_part(run: SearchRun, context: result_builder.RunContext, scoring: Sequence[Trial]) -> tuple[int, ...]:
    """Return the positions of the test's images that are scored first: a sample of half; () where all are scored at once.

    That part is what is evaluated where the machine becomes slower while the test is scored.
    """
    test = context.used.test
    needed_s = cost_model.test_scoring_s(run.state(), [t.candidate for t in scoring])
    if not run.facts.has_deadline or needed_s < policy.TEST_PARTS_FROM_S or len(test) <= policy.MIN_TEST_IMAGES:
        return ()
    first = {item.path for item in subsample.draw(context.dataset, None, _first_size(context)).test}
    return tuple(row for row, item in enumerate(test) if item.path in first)


def keep_first_part(run: SearchRun, context: result_builder.RunContext) -> result_builder.RunContext:
    """Return the context with the test's first part alone, and write its size down."""
    size = _first_size(context)
    run.rundir.write("test_sample.json", size)
    run.rundir.log("test shortened", at_s=run.clock.used_s, size=size)
    return _sampled(context, size)


def _first_size(context: result_builder.RunContext) -> int:
    return max(len(context.used.test) // 2, policy.MIN_TEST_IMAGES)


def _sampled(context: result_builder.RunContext, size: int) -> result_builder.RunContext:
    used = subsample.draw(context.dataset, context.used.pool_sample, size)
    warning = (
        f"only {len(used.test):,} of the {len(context.dataset.test):,} test images were evaluated (a sample fixed by "
        "content): the machine became slower, all of them would have exceeded the budget"
    )
    return replace(context, used=used, warnings=(*context.warnings, warning))
