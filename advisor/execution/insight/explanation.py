"""Where the final model looks: maps over its mistakes and over typical images of each class, and a search for shortcuts.

In: resources and an `Explain`. Out: small pictures and what was seen of each class, as far as the time goes: mistakes first,
then one class after another. Does NOT cover: the maps and the test for shortcuts (`insight.attention`, `insight.shortcuts`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from advisor.aliases import Float32s, Ints, Pixels
from advisor.data import pixels
from advisor.execution.resources import Resources
from advisor.insight import attention, overlay, shortcuts
from advisor.models import inference, predictor
from advisor.models.predictor import Predictor
from advisor.records import Attention, ClassAttention, Item
from advisor.records.insight_messages import Explain, Explained
from advisor.records.messages import OnProgress, Progress

SIDE_PX = 160  # of a picture
SHOWN = 2  # pictures of each class
PICTURES = 60  # in all: the report stays small
MISTAKES_TOGETHER = 4
NO_GRADIENT = "nothing in this network and head tells by a gradient where it looks"


def explain(resources: Resources, job: Explain, emit: OnProgress) -> Explained:
    """Draw maps until the time is over; the first ones are drawn however little there is."""
    ends = time.monotonic() + (float("inf") if job.limit_s is None else job.limit_s)
    model = predictor.load(job.folder, resources.registry)
    eyes = _Eyes(resources, model)
    pictures: dict[str, bytes] = {}
    for start in range(0, len(job.mistakes), MISTAKES_TOGETHER):
        items = job.mistakes[start : start + MISTAKES_TOGETHER]
        squares, readable = eyes.squares(items)
        drawn = eyes.maps(squares, np.array(job.predicted[start : start + MISTAKES_TOGETHER])[readable])
        if drawn is None:
            return Explained(pictures={}, attention=None, reason=NO_GRADIENT)
        pictures |= _pictures([items[i] for i in np.flatnonzero(readable)], squares, drawn)
        emit(Progress(what="explain", done=len(pictures), total=len(job.mistakes)))
        if time.monotonic() > ends:
            break
    classes = []
    reason = "" if any(job.typical) else "no image of any class is recognised by models that were not trained on it"
    for label in sorted(range(len(job.typical)), key=lambda k: -len(job.typical[k])):
        begun = time.monotonic()
        if not job.typical[label]:
            break
        if begun > ends:
            reason = "the time was used up by the maps of the mistakes"
            break
        seen = _class(eyes, job, label, resources.job.classes[label], pictures)
        if seen is None:
            reason = NO_GRADIENT
            break
        classes.append(seen)
        ends -= 0.1 * (time.monotonic() - begun)  # classes take equally long: the last one should not begin too late
    seen_of = Attention(classes=tuple(classes)) if classes else None
    return Explained(pictures=pictures, attention=seen_of, reason="" if classes else reason)


def _class(eyes: _Eyes, job: Explain, label: int, name: str, pictures: dict[str, bytes]) -> ClassAttention | None:
    """Return where the model looks on typical images of one class, and what that does to images of others, or None."""
    own, squares = eyes.recognised(job.typical[label], label)
    mixed = [(item, k) for k, items in enumerate(job.typical) if k != label for item in items]
    step = max(1, len(mixed) // max(1, len(job.typical[label])))
    chosen = mixed[::step][: len(job.typical[label])]
    others = eyes.recognised_each([item for item, _ in chosen], np.array([k for _, k in chosen], dtype=np.int64))
    drawn = eyes.maps(squares, np.full(len(squares), label))
    if drawn is None:
        return None
    influence = shortcuts.measure(eyes.classify, label, squares, drawn, others)
    shown = own[:SHOWN] if len(pictures) < PICTURES else []
    pictures |= _pictures(shown, squares[: len(shown)], drawn[: len(shown)])
    return ClassAttention(
        label=name,
        pictures=tuple(item.path for item in shown),
        transplanted=influence.transplanted,
        images=influence.images,
        others=influence.others,
        shortcut=influence.is_shortcut,
    )


def _pictures(items: Sequence[Item], squares: Pixels, maps: Float32s) -> dict[str, bytes]:
    return {
        item.path: overlay.picture(square, one, side_px=SIDE_PX)
        for item, square, one in zip(items, squares, maps, strict=True)
    }


class _Eyes:
    """A model with its pixels: what it answers, and where it looks."""

    def __init__(self, resources: Resources, model: Predictor) -> None:
        self.resources, self.model = resources, model
        self.compute = resources.compute(model.classifier.backbone)
        inference.move(model.classifier, self.compute)

    def squares(self, items: Sequence[Item]) -> tuple[Pixels, np.ndarray]:
        """Return what the model sees of those items that can be read, and which they are (N,) bool."""
        canvas, broken = pixels.canvas(self.resources.root, items, self.model.rule, store=None)
        unreadable = {file.path for file in broken}
        readable = np.array([item.path not in unreadable for item in items], dtype=bool)
        return attention.seen(self.model, canvas)[readable], readable

    def maps(self, squares: Pixels, classes: Ints) -> Float32s | None:
        """Return where the evidence for these classes is."""
        return attention.maps(self.model, squares, classes)

    def classify(self, squares: Pixels) -> Ints:
        """Return the class of each square as the model sees it."""
        sizes = inference.small_batches(len(squares))
        return np.asarray(self.model.logits(squares, compute=self.compute, sizes=sizes).argmax(axis=1))

    def recognised(self, items: Sequence[Item], label: int) -> tuple[list[Item], Pixels]:
        """Return the items of a class that the model recognises, with their squares."""
        squares, readable = self.squares(items)
        is_right = self.classify(squares) == label
        recognised = [items[i] for i in np.flatnonzero(readable)[is_right]]
        return recognised, squares[is_right]

    def recognised_each(self, items: Sequence[Item], labels: Ints) -> Pixels:
        """Return the squares of items that the model takes for what they are."""
        if not items:
            return np.zeros((0, self.model.size_px, self.model.size_px, 3), dtype=np.uint8)
        squares, readable = self.squares(items)
        return np.asarray(squares[self.classify(squares) == labels[readable]])
