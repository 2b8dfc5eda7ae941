"""Distillation: the loss beside torch's own, the teacher's views beside the student's, and what a student learns from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_network import CLASSES, COMPUTE, classifier, context, digits
from torch.nn import functional

from advisor.errors import TrialError
from advisor.hooks import TermInputs
from advisor.models import inference
from advisor.records import ForwardSpec
from advisor.records.plan import Augmentation
from advisor.training import augmentation, soft_answers
from advisor.training import loop as training
from advisor.training.loop import TrainData
from advisor_strategies.distill import DISTILL, softened_divergence, teacher_divergence

VIEWS = 3
SHORT = {"epochs": 12.0, "batch": 16, "views": VIEWS, "augmentation": "none", "label_smoothing": 0.0, "adam_rate": 3e-3}


def taught(data: TrainData, logits_NK: np.ndarray, target_NK: np.ndarray | None = None) -> TrainData:
    """Return the data with these answers on all images and, where given, on the target; the same for every view."""
    ids, logits = data.ids, logits_NK
    if target_NK is not None:
        assert data.target_ids is not None
        ids, logits = np.concatenate([ids, data.target_ids]), np.concatenate([logits, target_NK])
    views = np.broadcast_to(logits, (VIEWS, *logits.shape))
    return replace(data, answers=soft_answers.make(ids, views, view_seed=5))


def loop(data: TrainData, *, has_target: bool = False, **parameters: float) -> training.Loop:
    facts = replace(context(images=len(data.rows), has_target=has_target), has_teacher=True)
    p = {**DISTILL.first_guesses(facts)[0], **SHORT, **parameters}
    return training.Loop(classifier(), DISTILL.plan(p, facts), data, size_px=12, seed=0, compute=COMPUTE)


def accuracy(trained: training.Loop, data: TrainData, rows: np.ndarray) -> float:
    for _ in trained.run():
        pass
    network = trained.finish()
    spec = ForwardSpec(network.backbone.preprocess, 12, COMPUTE)
    logits = inference.logits(network, augmentation.centre(torch.from_numpy(data.canvas), 12).numpy(), rows, spec)
    return float((logits.argmax(1) == data.labels[rows]).mean())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_divergence_is_torchs_and_so_is_its_gradient(seed: int, temperature: float) -> None:
    """The value is T^2 x kl_div, batchmean; the gradient is T (q - p) / N, whichever way it is computed."""
    draw = torch.Generator().manual_seed(seed)
    student = torch.randn(6, 4, generator=draw, dtype=torch.float32, requires_grad=True)
    teacher = 3 * torch.randn(6, 4, generator=draw)
    q, p = (student / temperature).softmax(1), (teacher / temperature).softmax(1)
    expected = temperature**2 * functional.kl_div(q.log(), p, reduction="batchmean")
    value = softened_divergence(student, teacher, temperature=temperature)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    gradient = torch.autograd.grad(value, student)[0]
    torch.testing.assert_close(gradient, temperature * (q - p).detach() / 6, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, student)[0], rtol=1e-3, atol=1e-5)


def test_log_probabilities_and_logits_of_a_teacher_are_the_same() -> None:
    """What is added to all logits of an image does not count, so calibrated log-probabilities can be stored."""
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    torch.testing.assert_close(
        softened_divergence(student, teacher, temperature=2.0),
        softened_divergence(student, teacher.log_softmax(1) + 7.0, temperature=2.0),
    )


def test_unlabelled_images_count_as_labelled_ones_do() -> None:
    """The term is the mean over all images of the step; the labels are not in it."""
    logits, target = torch.randn(4, 3), torch.randn(6, 3)
    answers, more = torch.randn(4, 3), torch.randn(6, 3)
    inputs = TermInputs(
        step=0, steps=1, features=logits, logits=logits, labels=torch.zeros(4, dtype=torch.long),
        target_features=target, target_logits=target, teacher=answers, target_teacher=more,
    )  # fmt: skip
    both = 0.7 * softened_divergence(torch.cat([logits, target]), torch.cat([answers, more]), temperature=3.0)
    torch.testing.assert_close(teacher_divergence(inputs, weight=0.7, temperature=3.0), both)
    alone = replace(inputs, target_features=None, target_logits=None, target_teacher=None)
    expected = 0.7 * softened_divergence(logits, answers, temperature=3.0)
    torch.testing.assert_close(teacher_divergence(alone, weight=0.7, temperature=3.0), expected)


@pytest.mark.parametrize("level", ["flip", "light", "trivial"])
def test_teacher_and_student_see_the_same_views(level: str) -> None:
    """A teacher that is the student's own start, asked about the views by themselves, leaves nothing to learn at step 0."""
    data, network = digits(), classifier().eval()
    levels = Augmentation(level=level, scale=0.35)
    answers = []
    with torch.no_grad():
        for view in range(VIEWS):
            images = augmentation.train_view(
                torch.from_numpy(data.canvas), data.ids, view, 5, levels, 12, network.backbone.preprocess
            )
            answers.append(network(images).numpy())
    data = replace(data, answers=soft_answers.make(data.ids, np.stack(answers), view_seed=5))
    one = loop(data, augmentation=level, norm="frozen")  # type: ignore[arg-type]
    one.classifier.eval()
    for step in (0, 3, 5, 9):  # of the first, second and third round
        batch = one._feed.batch_at(step)
        assert batch.teacher is not None
        own = one.classifier.head(batch.features).log_softmax(1)
        torch.testing.assert_close(own, batch.teacher, rtol=1e-4, atol=1e-4)


def test_a_student_learns_what_its_teacher_knows() -> None:
    """With labels that are drawn at random, a student follows the teacher's right answers, and without it learns nothing."""
    data, test = digits(240), np.arange(160, 240)
    right = 6.0 * np.eye(CLASSES)[data.labels]
    rows = np.arange(160)
    noise = replace(data, labels=np.random.default_rng(0).integers(0, CLASSES, 240), rows=rows)
    with_teacher = accuracy(loop(taught(noise, right), weight=20.0), data, test)
    without = accuracy(loop(taught(noise, right), weight=0.0), data, test)
    assert with_teacher > 0.8
    assert without < 0.5


def test_unlabelled_images_teach_through_the_teacher_alone() -> None:
    """Eight labelled images and many unlabelled ones, which the teacher answers, beat the eight alone."""
    data, test = digits(240), np.arange(160, 240)
    right = 6.0 * np.eye(CLASSES)[data.labels]
    few = replace(data, rows=np.arange(8), target_canvas=data.canvas[8:160], target_ids=data.ids[8:160] + 5000)
    taught_data = taught(few, right, right[8:160])
    steps = {"epochs": 120.0}
    assert accuracy(loop(taught_data, has_target=True, **steps), data, test) > 0.1 + accuracy(
        loop(taught_data, **steps), data, test
    )


def test_it_needs_a_teacher() -> None:
    """Without answers the strategy does not apply, and a plan that is run all the same is refused in words."""
    reason = DISTILL.applies(context())
    assert reason is not None
    assert "tl-advise distill" in reason
    with pytest.raises(TrialError, match="learns from a teacher"):
        loop(digits())


def test_answers_of_other_views_or_images_are_refused() -> None:
    """A plan with another number of views, or an image without an answer, is one clear line."""
    data = digits()
    logits = np.zeros((len(data.ids), CLASSES))
    with pytest.raises(TrialError, match=r"answered 3 views .* asks for 4 views"):
        loop(taught(data, logits), views=4)
    answered = replace(data, answers=soft_answers.make(data.ids[:50], np.zeros((VIEWS, 50, CLASSES)), view_seed=0))
    with pytest.raises(TrialError, match="missing for 10 of 60 images"):
        loop(answered)
