"""What a teacher brought, in sentences."""

from __future__ import annotations

import results

from advisor.records import Baseline, Distillation, Gain
from advisor.reporting.parts import distilled


def test_no_change_has_no_sign_and_one_image_is_singular() -> None:
    """A change of the log-loss by nothing is no "-0.000"."""
    done = results.final()
    same = Gain(over_baseline=0.0, ci95=(-0.0001, 0.02), within_noise=True)
    part = Distillation(
        teacher="run", teacher_backbone="big", teacher_size_px=64, teacher_weights_sha256="0" * 64, teacher_test=None,
        unlabelled=1, plain=Baseline(best=done.best, validation=done.validation, test=done.test), gain=same,
        log_loss_gain=same,
    )  # fmt: skip
    assert distilled.log_loss(part).startswith("Log-loss ±0.000 (95 % interval −0.020 to ±0.000;")
    assert distilled.teacher(part).endswith("and 1 unlabelled one.")
