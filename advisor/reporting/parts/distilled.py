"""What a teacher brought: a distillation -> sentences for the terminal, the report and the model card.

Does NOT cover: the comparison itself (`workflows.distillation`).
"""

from __future__ import annotations

from advisor.records import Distillation
from advisor.reporting import wording


def teacher(part: Distillation) -> str:
    """Write who taught, and on what."""
    reached = f", {wording.percent(part.teacher_test)} on the same test images" if part.teacher_test is not None else ""
    ones = "one" if part.unlabelled == 1 else "ones"
    more = f" and {wording.number(part.unlabelled)} unlabelled {ones}" if part.unlabelled else ""
    return (
        f"Learned from {part.teacher_backbone} at {part.teacher_size_px} px{reached}: the model of {part.teacher}, asked "
        f"about the training images{more}."
    )


def gain(part: Distillation) -> str:
    """Write the gain over the same network without its teacher, and whether it is more than noise."""
    if part.gain is None:
        return "Not compared with the same network without a teacher: there are no test images."
    assert part.plain.test is not None
    verdict = "within noise" if part.gain.within_noise else "more than noise"
    return (
        f"{wording.points(part.gain.over_baseline)} over the same network trained for the same steps without a teacher "
        f"({wording.percent(part.plain.test.accuracy)}), on the same test images (95 % interval "
        f"{wording.point_span(part.gain.ci95)}): {verdict}."
    )


def log_loss(part: Distillation) -> str:
    """Write the change of the log-loss; "" where it was not measured."""
    if part.log_loss_gain is None:
        return ""
    low, high = part.log_loss_gain.ci95
    verdict = "within noise" if part.log_loss_gain.within_noise else "more than noise"
    change = -part.log_loss_gain.over_baseline
    return f"Log-loss {_minus(change)} (95 % interval {_minus(-high)} to {_minus(-low)}; lower is better): {verdict}."


def _minus(value: float) -> str:
    text = f"{value:+.3f}"
    return "±0.000" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def sentences(part: Distillation) -> list[str]:
    """Write everything, one sentence a line."""
    return [line for line in (teacher(part), gain(part), log_loss(part)) if line]
