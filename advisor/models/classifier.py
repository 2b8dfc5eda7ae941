"""The classifier that ships: a backbone's body and a head in one module, its two files, and predictions from files.

`model.safetensors` holds the tensors ("body.*", "head.*"), `model.json` what they mean: classes, preprocessing,
backbone and plugin, temperature, and the hash of the tensors. Both are written whole or not at all. Predictions go
through the decoder and the normalisation of training, in float32. Does not cover exports (`export`) or recipes.
Legend: N images, C, H, W, D features, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advisor.aliases import CountProgress
from advisor.data import pixels
from advisor.errors import InputError, PluginError, WeightsError
from advisor.heads import fitting
from advisor.hooks import Backbone
from advisor.metrics import classification
from advisor.models import backbone as stages
from advisor.models import inference, model_files
from advisor.models.predict import Predictions, classify
from advisor.records import Compute, Preprocess
from advisor.runtime import device

if TYPE_CHECKING:
    from advisor.registry import Registry

_HEADS: Mapping[str, type[nn.Module]] = {
    "linear": fitting.LinearHead,
    "cosine": fitting.CosineHead,
    "knn": fitting.KnnHead,
}


class Classifier(nn.Module):
    """A backbone's network and a head: normalised images (N, 3, H, W) -> logits (N, K).

    `layers` says which pooled features the head reads: "last", "all" side by side, or the name of one stage. With
    `mirror` they are averaged over each image and its mirror image.
    """

    def __init__(
        self, backbone: Backbone, body: nn.Module, head: nn.Module, layers: str = "last", *, mirror: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.body = body
        self.head = head
        self.layers = layers
        self.mirror = mirror

    def features(self, x_NCHW: Any) -> torch.Tensor:
        """Give the pooled features (N, D) that the head reads."""
        seen = self._pooled(x_NCHW)
        return 0.5 * (seen + self._pooled(x_NCHW.flip(-1))) if self.mirror else seen

    def _pooled(self, x_NCHW: Any) -> torch.Tensor:
        if self.layers == "all":
            return torch.cat(stages.pooled(self.backbone, self.body, x_NCHW), dim=1)
        last = len(self.backbone.stages) - 1
        index = last if self.layers == "last" else stages.stage_index(self.backbone, self.layers)
        activation = stages.run(self.backbone, self.body, x_NCHW, stop=index + 1)
        return self.backbone.pool(self.body, index, activation)

    def forward(self, x_NCHW: Any) -> torch.Tensor:
        """Give the logits (N, K)."""
        return self.head(self.features(x_NCHW))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Predictor:
    """A saved model, ready for images. `preprocess.size` and `.resize` are those that it was trained with."""

    classifier: Classifier
    classes: tuple[str, ...]
    preprocess: Preprocess
    size_px: int
    fit: str
    temperature: float
    description: Mapping[str, Any]

    @property
    def rule(self) -> pixels.PixelRule:
        """How a file becomes a square for this model."""
        return pixels.rule_for(self.preprocess, self.size_px, self.fit)

    def logits(self, canvas: NDArray[np.uint8], *, compute: Compute | None = None) -> NDArray[np.float32]:
        """Give the calibrated logits (N, K) of decoded squares, in float32."""
        how = compute or device.choose("cpu", self.classifier.backbone)
        raw = inference.logits(
            self.classifier,
            canvas,
            np.arange(len(canvas)),
            preprocess=self.preprocess,
            size_px=self.size_px,
            compute=Compute(device=how.device, precision="float32", layout=how.layout, threads=how.threads),
        )
        return raw / np.float32(self.temperature)

    def probabilities(self, canvas: NDArray[np.uint8], *, compute: Compute | None = None) -> NDArray[np.float64]:
        """Give the calibrated probabilities (N, K) of decoded squares."""
        return classification.probabilities(self.logits(canvas, compute=compute))

    def predict(
        self,
        images: Iterable[Any],
        *,
        compute: Compute | None = None,
        progress: CountProgress | None = None,
    ) -> Predictions:
        """Classify paths, PIL images or (H, W, 3) uint8 arrays; what cannot be read is listed, never fatal.

        An image that is no path is called by its position, "#0". Memory is bounded by a batch, not by the number of
        images.
        """
        return classify(
            images,
            self.rule,
            self.classes,
            lambda squares: self.probabilities(squares, compute=compute),
            progress=progress,
        )


def weights_hash(classifier: nn.Module) -> str:
    """Give the SHA-256 over every tensor's name, type, shape and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors(classifier).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tensors(classifier: nn.Module) -> dict[str, torch.Tensor]:
    """Copy the state to contiguous tensors on the CPU that share no memory."""
    return {n: t.detach().cpu().contiguous().clone() for n, t in classifier.state_dict().items()}


def save(
    classifier: Classifier,
    path_safetensors: Path,
    path_json: Path,
    *,
    classes: Sequence[str],
    preprocess: Preprocess,
    size_px: int,
    fit: str,
    temperature: float,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write both files, each to a temporary name, flushed and renamed. `extra` adds fields to `model.json`.

    Raises OutputError where they cannot be written; then what stood there before still stands.
    """
    rule = pixels.rule_for(preprocess, size_px, fit)
    kind = next(name for name, cls in _HEADS.items() if type(classifier.head) is cls)
    description = {
        "schema": model_files.SCHEMA,
        "classes": list(classes),
        "backbone": classifier.backbone.name,
        "layers": classifier.layers,
        "mirror": classifier.mirror,
        "head": kind,
        "preprocess": {
            "size_px": rule.size_px,
            "resize_px": rule.resize_px,
            "interpolation": rule.interpolation,
            "fit": fit,
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
        },
        "temperature": temperature,
        "weights_sha256": weights_hash(classifier),
        **(extra or {}),
    }
    model_files.write_tensors(path_safetensors, tensors(classifier))
    model_files.write_description(path_json, description)


def load(directory: str | Path, registry: Registry, name: str = "model") -> Predictor:
    """Read a model that `save` wrote, on the CPU, in eval mode; `name` is what its two files are called.

    Raises InputError where there is none or it cannot be understood, PluginError where its backbone is not installed,
    WeightsError where the tensors are damaged or belong to another description.
    """
    folder = Path(directory)
    description = model_files.read_description(folder / f"{name}.json")
    backbone = _backbone(description, registry)
    pre = description["preprocess"]
    tensors = model_files.read_tensors(folder / f"{name}.safetensors")
    body = stages.build(backbone)
    head = _head(description["head"], tensors)
    classifier = Classifier(backbone, body, head, description["layers"], mirror=bool(description.get("mirror")))
    try:
        classifier.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{folder}: the tensors do not fit backbone {backbone.name}: {error}") from error
    if weights_hash(classifier) != description["weights_sha256"]:
        raise WeightsError(
            f"{folder}: model.safetensors is not the file that model.json describes.",
            hint="It was damaged or exchanged: copy both from the run again.",
        )
    return Predictor(
        classifier=classifier.eval(),
        classes=tuple(description["classes"]),
        preprocess=Preprocess(
            size=pre["size_px"],
            resize=pre["resize_px"],
            interpolation=pre["interpolation"],
            mean=tuple(pre["mean"]),
            std=tuple(pre["std"]),
        ),
        size_px=pre["size_px"],
        fit=pre["fit"],
        temperature=float(description["temperature"]),
        description=description,
    )


def _backbone(description: Mapping[str, Any], registry: Registry) -> Backbone:
    try:
        return registry.backbone(description["backbone"])
    except PluginError as error:
        plugin = description.get("plugin") or {}
        if not plugin.get("distribution"):
            raise
        named = f"{plugin['distribution']} {plugin.get('version', '')}".strip()
        raise PluginError(
            f"this model needs the backbone {description['backbone']} of {named}.",
            hint=f"pip install {plugin['distribution']}=={plugin.get('version', '')}",
        ) from error


def _head(kind: str, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Build a head of the shapes that are in the file."""
    if kind not in _HEADS:
        raise InputError(f'model.json: head "{kind}" is unknown: expected one of {", ".join(_HEADS)}.')
    t = {n.removeprefix("head."): v for n, v in tensors.items() if n.startswith("head.")}
    try:
        if kind == "linear":
            return fitting.LinearHead(t["weight"], t["bias"])
        if kind == "cosine":
            return fitting.CosineHead(t["weight"], t["mean"], t["scale"], float(t["factor"]))
        return fitting.KnnHead(t["bank"], t["labels"], t["mean"], t["scale"], t["settings"])
    except KeyError as error:
        raise WeightsError(f"model.safetensors lacks the head's tensor {error}.") from error
