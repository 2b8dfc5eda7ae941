"""The search as a story: counts in grammar, and the score that decided."""

from __future__ import annotations

import dataclasses

import results

from advisor import records
from advisor.records.objective import ObjectiveScore
from advisor.reporting import report, search_story


def by(name: str, **losses: float) -> tuple[records.Result, tuple[records.Trial, ...]]:
    """A finished run whose trials were compared by another score."""
    score = ObjectiveScore(name=name, value=0.9, ci95=(0.8, 0.95), n=60)  # type: ignore[arg-type]
    trials = tuple(dataclasses.replace(t, objective=0.25 if t.scores else None) for t in results.trials())
    return dataclasses.replace(results.final(), objective=score), trials


def test_one_is_not_written_as_many() -> None:
    """One trial that was stopped, one that is tied."""
    done, tried = results.final(), results.trials()
    stopped = [t for t in tried if t.state == "pruned"][:1]
    story = " ".join(search_story.tell(done, [*(t for t in tried if t.state == "complete"), *stopped]))
    assert "1 was stopped early because it was behind." in story
    assert len(done.ties) == 1
    assert "1 other is statistically tied with it" in story


def test_the_score_that_decided_is_named() -> None:
    """Under --objective neither the story nor the page says that the log-loss chose."""
    done, tried = by("macro_f1")
    story = " ".join(search_story.tell(done, tried))
    assert "with macro F1 0.750, log-loss" in story
    assert "the choice goes by macro F1." in story
    page = report.render(done, results.profile(), tried)
    assert "The winner is chosen by macro F1." in page
    assert '<th class="n">macro F1</th>' in page
    assert '<td class="n">0.750</td>' in page


def test_accuracy_is_no_reason_against_accuracy() -> None:
    """Where accuracy decides, a more accurate trial is tied with the winner: no other score is named."""
    done, tried = by("accuracy")
    story = " ".join(search_story.tell(done, tried))
    assert "the choice goes by" not in story
    assert "with log-loss" in story
