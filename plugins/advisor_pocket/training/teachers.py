"""The two teachers and what they answer to a batch of views.

In: views_NHWC, uint8. Out: answers_NA, float16: MobileNetV2's and SqueezeNet 1.1's pooled features (square roots of
them, since pooled rectified features have long tails) and SqueezeNet's 1,000 logits; `PARTS` says which columns.
Does NOT cover: standardisation and losses (`loop`). Weights: Apache-2.0, the ONNX Model Zoo's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision import models

from advisor_pocket.training.views import TEACHER_PX

PARTS = {"mobilenet": slice(0, 1280), "squeezenet": slice(1280, 1792), "logits": slice(1792, 2792)}
COLUMNS = 2792
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 100


def normalise(views_NHWC: torch.Tensor) -> torch.Tensor:
    """Turn uint8 pixels into the channels-last float images that teachers and student expect."""
    images = views_NHWC.permute(0, 3, 1, 2).float().div_(255)  # a permuted NHWC tensor is channels_last already
    return images.sub_(torch.tensor(MEAN)[:, None, None]).div_(torch.tensor(STD)[:, None, None])


class Teachers:
    """Both networks, frozen, answering without gradients."""

    def __init__(self, checkpoints: Path) -> None:
        mobilenet = _load(models.mobilenet_v2(), checkpoints / "mobilenet_v2-b0353104.pth")
        self.mobilenet = mobilenet.get_submodule("features")
        squeezenet = _load(models.squeezenet1_1(), checkpoints / "squeezenet1_1-b8a52dc0.pth")
        self.squeezenet, self.classifier = (squeezenet.get_submodule(n) for n in ("features", "classifier"))

    @torch.inference_mode()
    def answer(self, views_NHWC: np.ndarray) -> np.ndarray:
        """Answer to views of `TEACHER_PX`; bfloat16 inside, since its error is far below the teachers' own."""
        outputs = np.empty((len(views_NHWC), COLUMNS), np.float16)
        for start in range(0, len(views_NHWC), BATCH):
            images = normalise(torch.from_numpy(views_NHWC[start : start + BATCH]))
            with torch.autocast("cpu", torch.bfloat16):
                wide = self.mobilenet(images)
                deep = self.squeezenet(images)
                logits = self.classifier(deep)
            parts = [wide.float().mean((2, 3)).clamp_(min=0).sqrt_(), deep.float().mean((2, 3)).sqrt_()]
            parts.append(logits.float().flatten(1))
            outputs[start : start + BATCH] = torch.cat(parts, 1).half().numpy()
        return outputs


def _load(network: nn.Module, file: Path) -> nn.Module:
    state = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return network.eval().to(memory_format=torch.channels_last)


__all__ = ["COLUMNS", "MEAN", "PARTS", "STD", "TEACHER_PX", "Teachers", "normalise"]
