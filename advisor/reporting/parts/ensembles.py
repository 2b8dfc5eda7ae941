"""What an ensemble reaches beside the single model, and whether it is advised, in words for terminal, report and model card.

Does NOT cover: how its members were chosen (`selection`).
"""

from __future__ import annotations

from advisor.records import Ensemble, Result
from advisor.reporting import wording


def offered(result: Result, run: str) -> str:
    """Write in a line what the ensemble reaches beside the single model, and how to use it unless it is clearly worse."""
    if result.ensemble is None:
        return ""
    both = result.ensemble
    use = "not advised" if _is_worse(both) else f"tl-advise predict {run} --ensemble PHOTOS"
    return f"an ensemble of {len(both.members)} models: {_reached(both)} ({use})"


def _is_worse(both: Ensemble) -> bool:
    """Return whether the ensemble is worse than the single model beyond noise, on the same test images."""
    return both.ci95 is not None and both.ci95[1] < 0


def _reached(both: Ensemble) -> str:
    if both.test is None:
        score = both.validation
        return f"{wording.percent(score.accuracy)} on validation, the single model {wording.percent(score.single_accuracy)}"
    beyond = both.beats_single or _is_worse(both)
    # docs/advice.md, "How wide is a tie?": few test images cannot show what holds on average.
    within = "within noise; on average, ensembles are ahead"
    return (
        f"{wording.percent(both.test.accuracy)} on the test (95 % interval {wording.span(both.test.ci95)}), "
        f"{wording.points(both.over_single)} against the single model: {'more than noise' if beyond else within}"
    )


def facts(both: Ensemble | None) -> dict[str, str] | None:
    """Return what a page says about the ensemble, label by label."""
    if both is None:
        return None
    score = both.validation
    return {
        "members": ", ".join(f"{wording.trial(m.trial)} ({m.strategy} on {m.backbone})" for m in both.members),
        "validation log-loss": f"{score.log_loss:.3f}, the single model {score.single_log_loss:.3f} ({score.n} images)",
        "result": _reached(both),
        "calibration error": wording.percent(both.ece),
        "how to use it": "not advised"
        if _is_worse(both)
        else "tl-advise predict RUN --ensemble, tl-advise export RUN --ensemble --format onnx",
    }
