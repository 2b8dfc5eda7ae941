"""Where a classifier looks: LayerCAM maps over the stages of its backbone, for any network and any head with a gradient.

In: a saved model and squares as it sees them. Out: one map per image in 0..1, at the resolution of the image. Each stage's
map is relu(sum over channels of relu(gradient) * activation), scaled to a maximum of 1; the mean of the deepest stages
that have a grid is the map. Tokens of transformers are laid out on their grid, class and register tokens left out.
Does NOT cover: drawing (`overlay`), what a map means (`shortcuts`). A map shows what raises the class's score, no cause.
Source: Jiang et al. 2021, LayerCAM, IEEE TIP 30, equations 6 to 8; one gradient serves frozen and trained networks.
Legend: N images, C channels, H, W of a stage's grid, T tokens, K classes, S side of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from advisor.aliases import Float32s, Ints, Pixels
from advisor.data import pixels
from advisor.models import backbone as backbones
from advisor.models import inference, normalise

if TYPE_CHECKING:
    from torch import Tensor

    from advisor.models.classifier import Classifier
    from advisor.models.predictor import Predictor

STAGES = 3  # deepest stages with a grid, whose maps are averaged
LEAST_GRID = 2  # cells per side, below which a stage knows no place
BATCH = 8  # images at once: gradients hold every activation


def seen(predictor: Predictor, canvas_NSS3: Pixels) -> Pixels:
    """Return the part of decoded squares that the model sees: the centre, where they are larger than its input."""
    size = predictor.size_px
    return canvas_NSS3 if canvas_NSS3.shape[1] == size else pixels.centre(canvas_NSS3, size)


def maps(predictor: Predictor, squares_NSS3: Pixels, classes_N: Ints | Sequence[int]) -> Float32s | None:
    """Return for each image where the evidence for its class of `classes_N` is, (N, S, S) in 0..1.

    None where the network or the head has no gradient that reaches a grid (a head of nearest neighbours). The model runs
    in float32 on its own device and is left as it was.
    """
    classifier = predictor.classifier
    device = backbones.device_of(classifier)
    parts = []
    with inference.eval_mode(classifier):
        for start in range(0, len(squares_NSS3), BATCH):
            squares = np.ascontiguousarray(squares_NSS3[start : start + BATCH])
            images = normalise.normalise(torch.from_numpy(squares).to(device), predictor.preprocess)
            chosen = torch.as_tensor(np.asarray(classes_N[start : start + BATCH], dtype=np.int64), device=device)
            part = layer_cam(classifier, images, chosen)
            if part is None:
                return None
            parts.append(part.cpu())
    return np.asarray(torch.cat(parts).numpy()) if parts else np.zeros((0, 0, 0), dtype=np.float32)


def layer_cam(classifier: Classifier, images_NCHW: Tensor, classes_N: Tensor) -> Tensor | None:
    """Return the map of each image for its class, (N, S, S) in 0..1; None where no gradient reaches a grid.

    The score is the class's logit less the mean of all, so that what is common to all classes does not count.
    """
    with torch.enable_grad():
        images = images_NCHW.detach().requires_grad_(True)
        outputs, pooled = _stages(classifier, images)
        head_reads = torch.cat(pooled, dim=1) if classifier.layers == "all" else pooled[-1]
        logits_NK = classifier.head(head_reads)
        if not logits_NK.requires_grad:
            return None
        score = (logits_NK.gather(1, classes_N[:, None])[:, 0] - logits_NK.mean(dim=1)).sum()
        gradients = torch.autograd.grad(score, outputs, allow_unused=True)
    stage_maps = []
    for output, gradient, own in zip(outputs, gradients, pooled, strict=True):
        laid_out = None if gradient is None else (_grid(output, own.shape[1]), _grid(gradient, own.shape[1]))
        if laid_out is not None and laid_out[0] is not None and laid_out[1] is not None:
            stage_maps.append(_scaled((laid_out[1].clamp(min=0) * laid_out[0]).sum(dim=1).clamp(min=0).detach()))
    if not stage_maps:
        return None
    side = images_NCHW.shape[-1]
    resized = [
        torch.nn.functional.interpolate(m[:, None].float(), (side, side), mode="bilinear", align_corners=False)[:, 0]
        for m in stage_maps[-STAGES:]
    ]
    return _scaled(torch.stack(resized).mean(dim=0))


def _stages(classifier: Classifier, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Run the stages that the head depends on; return their outputs and what each of them pools to."""
    backbone, body = classifier.backbone, classifier.body
    single = classifier.layers not in ("all", "last")
    last = backbones.stage_index(backbone, classifier.layers) if single else len(backbone.stages) - 1
    x: Any = images
    outputs, pooled = [], []
    for index in range(last + 1):
        x = backbone.run_stage(body, index, x)
        pooled.append(backbone.pool(body, index, x))
        outputs.append(x if isinstance(x, torch.Tensor) else pooled[-1])
    return outputs, pooled


def _grid(values: Tensor, channels: int) -> Tensor | None:
    """Reshape an activation to (N, C, H, W): channels first or last, or tokens (N, T, C); None where there is no grid."""
    if values.ndim == 4:
        grid = values if values.shape[1] == channels or values.shape[-1] != channels else values.permute(0, 3, 1, 2)
    elif values.ndim == 3:
        side = math.isqrt(values.shape[1])
        grid = values[:, values.shape[1] - side * side :].transpose(1, 2).reshape(len(values), -1, side, side)
    else:
        return None
    return grid if min(grid.shape[-2:]) >= LEAST_GRID else None


def _scaled(map_NHW: Tensor) -> Tensor:
    """Divide each map by its maximum; a map of zeros stays zeros."""
    return map_NHW / map_NHW.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
