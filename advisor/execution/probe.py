"""One frozen pass over the pool -> several heads, scored out of fold, and how fast the pass was.

In: resources and a `Probe`. Out: a `Probed`. Does NOT cover: fitting and scoring one head (`trial`), which heads (`tuning`).
"""

from __future__ import annotations

import time

import torch

from advisor.aliases import CountProgress
from advisor.data import pixels
from advisor.errors import TooSlowError
from advisor.execution import job_limit, trial
from advisor.execution.resources import Resources
from advisor.hooks import Backbone
from advisor.models import backbone as backbones
from advisor.models import folding, inference
from advisor.plugin_guard import backbone_error
from advisor.records.messages import Probe, Probed, RunTrial
from advisor.registry import FIRST_PARTY

DIFFERS_EACH_TIME = (
    "it evaluates the same images differently each time (dropout, noise or a changing state in eval mode?)"
)
CHANGES_IMAGES = "it changes the images that it is given (an operation in place on its input?)"
DIFFERS_BY_BATCH = (
    "its features of an image depend on the other images of the batch (a norm layer without running statistics?)"
)
DECODED = 16  # images, to see how long that takes
REPEATED_RTOL = 1e-2  # sums in another order, on a GPU, are far below; noise that could change an answer is above
LOOKED_AT = 4  # batches, before it is predicted whether the whole pass fits: the first one is slower


def probe(resources: Resources, job: Probe) -> Probed:
    """Score several heads on the same frozen features, out of fold over all folds.

    Raises BackboneError where a third-party network evaluates the same images differently each time or
    by their batch, or changes them.
    """
    backbone = resources.registry.backbone(job.backbone)
    size_px = job.candidates[0].size_px or backbone.preprocess.size
    batch = resources.compute(backbone).inference_batch
    resources.network(backbone)  # what is imported and read once says nothing about how fast images go through
    before = time.monotonic()
    rule = resources.rule(backbone, size_px)
    decode_s = 0.0 if rule in resources.decoded else _decode_s(resources, rule)
    resources.canvas(rule)
    decoded = time.monotonic()
    watch = _Watch(_within(job.limit_s, before, LOOKED_AT * batch))
    resources.pooled(backbone, size_px, watch=watch)
    _check_repeatable(resources, backbone, size_px)
    trials = []
    for offset, candidate in enumerate(job.candidates):
        number = job.first_number - offset
        order = RunTrial(
            number=number,
            candidate=candidate,
            folds=tuple(range(len(resources.folds()))),
            repeat=0,
            seed=job.seed,
            started_s=0.0,
        )
        trials.append(trial.run(resources, order, lambda progress: None))
    if watch.ended:
        images_per_s = 1.0 / max(watch.image_s(decoded, batch), 1e-9)
    else:  # the features came from the cache
        images_per_s = _timed(resources, backbone, size_px, job)
    return Probed(trials=tuple(trials), images_per_s=images_per_s, decode_s=decode_s)


def _check_repeatable(resources: Resources, backbone: Backbone, size_px: int) -> None:
    """Evaluate two images twice, and one of them alone: what is scored once must be what the network predicts later."""
    plugin = resources.registry.plugin(backbone.name)
    if plugin.distribution == FIRST_PARTY:
        return
    module = resources.network(backbone).eval()
    images_NCHW = torch.rand((2, 3, size_px, size_px), generator=torch.Generator().manual_seed(0))
    images_NCHW = images_NCHW.to(backbones.device_of(module))
    given_NCHW = images_NCHW.clone()
    with torch.inference_mode():
        first = backbones.pooled(backbone, module, images_NCHW)[-1]
        if not torch.equal(images_NCHW, given_NCHW):
            raise backbone_error(backbone.name, str(plugin), CHANGES_IMAGES)
        second, alone = (backbones.pooled(backbone, module, images_NCHW[:count])[-1] for count in (2, 1))
    tolerance = REPEATED_RTOL * float(first.abs().max())
    for other, what in ((second, DIFFERS_EACH_TIME), (alone, DIFFERS_BY_BATCH)):
        if not torch.allclose(first[: len(other)], other, rtol=REPEATED_RTOL, atol=tolerance, equal_nan=True):
            raise backbone_error(backbone.name, str(plugin), what)


def _decode_s(resources: Resources, rule: pixels.PixelRule) -> float:
    """Return the seconds of decoding one image, also where the cache has the pixels: those of the test may not be there."""
    items = resources.job.items[:: max(1, len(resources.job.items) // DECODED)]
    if not resources.job.root or not items:  # on another node the pixels come with the job
        return 0.0
    before = time.monotonic()
    pixels.canvas(resources.root, items, rule, store=None)
    return (time.monotonic() - before) / len(items)


class _Watch:
    """Sees when each batch of a pass ended, and passes it on."""

    def __init__(self, judge: CountProgress | None) -> None:
        self.judge = judge
        self.ended: list[tuple[int, float]] = []  # images so far, and the moment

    def __call__(self, done: int, total: int) -> None:
        self.ended.append((done, time.monotonic()))
        if self.judge is not None:
            self.judge(done, total)

    def image_s(self, began: float, batch: int) -> float:
        """Return the seconds of an image behind the first batch: before it the network is built and folded.

        Of a pass of one batch the whole counts. `began` is the moment at which the pass began.
        """
        (first, first_at), (last, last_at) = self.ended[0], self.ended[-1]
        if last > first:
            return (last_at - first_at) / inference.padded_count(last - first, batch)
        return (last_at - began) / inference.padded_count(last, batch)


def _within(limit_s: float | None, before: float, judged_from: int) -> CountProgress | None:
    """Return what ends a pass that cannot end in time, judged by the images so far, once they are `judged_from`."""
    if limit_s is None:
        return None

    def look(done: int, total: int) -> None:
        passed_s = time.monotonic() - before
        needs_s = passed_s * total / max(1, done)
        if passed_s > limit_s or (done >= judged_from and needs_s > job_limit.given_up_after_s(limit_s)):
            raise TooSlowError(f"would take {needs_s:.0f} s, {limit_s:.0f} s are left for it", needs_s=needs_s)

    return look


def _timed(resources: Resources, backbone: Backbone, size_px: int, job: Probe) -> float:
    """Time a batch where the features were only read, since what is predicted from their speed must hold all the same."""
    if not job.timed:
        return 0.0
    canvas, spec = resources.canvas(resources.rule(backbone, size_px)), resources.forward_spec(backbone, size_px)
    network = resources.network(backbone)
    if inference.folds(len(canvas), spec.compute):
        network = folding.folded_body(backbone, network, size_px)
    return inference.images_per_s(network, canvas, spec)
