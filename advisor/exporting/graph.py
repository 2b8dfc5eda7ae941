"""What an exported model is made of: the graph with everything inside.

The graph takes uint8 RGB images (N, S, S, 3), as Pillow and numpy hold them, and gives calibrated probabilities
(N, K): normalisation, network, head, temperature and softmax are inside. A second output are the features by which images
are compared. What stays outside is the resize, stated to the pixel in the description and done by a ten-line example
(`sidecar`). Does NOT cover: files (`formats`), the parity
check (`parity`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from advisor.errors import AdviseError
from advisor.heads import knn
from advisor.models.classifier import Classifier
from advisor.models.ensemble_predictor import EnsemblePredictor
from advisor.models.predictor import Predictor


class Deployed(nn.Module):
    """uint8 RGB (N, S, S, 3) -> calibrated probabilities (N, K) and the head's last `width` features, in float32.

    A `width` of 0 leaves the features out: then the probabilities alone are returned.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        classifier: Classifier,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        temperature: float,
        width: int = 0,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.width = width
        self.temperature = temperature
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return the probabilities (N, K), with a `width` the features (N, width) too."""
        x_NCHW = images_NHWC.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        features_ND = self.classifier.features((x_NCHW - self.mean) / self.std)
        logits_NK = self.classifier.head(features_ND)
        probabilities_NK = torch.softmax(logits_NK.to(torch.float32) / self.temperature, dim=1)
        if not self.width:
            return probabilities_NK
        return probabilities_NK, features_ND[:, features_ND.shape[1] - self.width :].to(torch.float32)


class Neighbours(nn.Module):
    """The k-nearest-neighbour head with its settings as plain numbers: a graph cannot branch on what is in a tensor."""

    bank: torch.Tensor
    one_hot: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, head: knn.KnnHead) -> None:
        super().__init__()
        classes, k, self.sharpness, self.factor = head.settings.tolist()
        self.classes, self.k = int(classes), max(1, min(int(k), len(head.bank)))
        self.offset: torch.Tensor | None
        self.register_buffer("offset", head.offset)
        self.register_buffer("bank", head.bank)
        self.register_buffer("mean", head.mean)
        self.register_buffer("scale", head.scale)
        self.register_buffer("one_hot", nn.functional.one_hot(head.labels, self.classes).to(torch.float32))

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Map (N, D) to (N, K), as `heads.KnnHead` does."""
        unit_ND = nn.functional.normalize((features_ND - self.mean) * self.scale)
        near_Nk, which_Nk = (unit_ND @ self.bank.T).topk(self.k, dim=1)
        weight_Nk = torch.softmax(near_Nk / self.sharpness, dim=1)
        share_NK = (weight_Nk.unsqueeze(2) * self.one_hot[which_Nk]).sum(dim=1)
        logits_NK: torch.Tensor = self.factor * torch.log(0.99 * share_NK + 0.01 / self.classes)
        return logits_NK if self.offset is None else logits_NK + self.offset


class Mean(nn.Module):
    """uint8 RGB (N, S, S, 3) -> the mean of several models' calibrated probabilities (N, K), the first one's features."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return the probabilities (N, K), and the features (N, D) where the first member returns them."""
        first, *others = [member(images_NHWC) for member in self.members]
        if not isinstance(first, tuple):
            return torch.stack([first, *others]).mean(dim=0)
        return torch.stack([first[0], *others]).mean(dim=0), first[1]


def members(predictor: Predictor | EnsemblePredictor) -> tuple[Predictor, ...]:
    """List the models that answer: one, or those of an ensemble."""
    return predictor.members if isinstance(predictor, EnsemblePredictor) else (predictor,)


def _deployed(predictor: Predictor, width: int) -> nn.Module:
    trained = predictor.classifier.to(torch.device("cpu"), torch.float32)
    head = Neighbours(trained.head) if isinstance(trained.head, knn.KnnHead) else trained.head
    classifier = Classifier(
        trained.backbone, trained.body, head, trained.layers, mirror=trained.mirror, resize=trained.resize
    )
    classifier = classifier.to(memory_format=torch.contiguous_format)
    pre = predictor.preprocess
    return Deployed(classifier.eval(), pre.mean, pre.std, predictor.temperature, width).eval()


def graph(predictor: Predictor | EnsemblePredictor, *, with_features: bool = False) -> torch.export.ExportedProgram:
    """Trace the whole way from pixels to probabilities, for any batch size, on the CPU in float32.

    `with_features` adds as a second output the features by which images are compared, of an ensemble those of its first
    member. Raises AdviseError where torch.export cannot follow a backbone's code.
    """
    first, *others = members(predictor)
    each = [_deployed(first, first.feature_width if with_features else 0), *(_deployed(member, 0) for member in others)]
    module = Mean(each).eval() if isinstance(predictor, EnsemblePredictor) else each[0]
    side = predictor.size_px
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=65536)
    try:
        with torch.no_grad():
            return torch.export.export(module, (example,), dynamic_shapes={"images_NHWC": {0: batch}}, strict=False)
    except Exception as error:  # a plugin's code may do anything, and the tracer answers with any kind of error
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise AdviseError(
            f"{predictor.description['backbone']} cannot be traced by torch.export: {reason}",
            hint="(--format safetensors needs no tracing)",
        ) from error
