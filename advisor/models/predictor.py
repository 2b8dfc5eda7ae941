"""A saved model: written from a classifier, read back, and asked about images.

In: a trained classifier with its classes and preprocessing. Out: `model.safetensors` (the tensors "body.*", "head.*") and
`model.json` (classes, preprocessing, backbone and plugin, temperature, hash of the tensors), each replaced atomically; and
a `Predictor` read from them, which decodes and normalises images as training did and computes in float32.
Does NOT cover: the format of the files (`model_files`), exports (`exporting`). Legend: N images, K classes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from advisor.aliases import CountProgress, Float32s, Float64s, Pixels
from advisor.data import pixels
from advisor.errors import PluginError, WeightsError, one_line
from advisor.heads import registry as heads
from advisor.hooks import Backbone
from advisor.metrics import classification, novelty
from advisor.metrics.novelty import NoveltyIndex
from advisor.models import backbone as backbones
from advisor.models import folding, inference, model_files, tensor_files
from advisor.models.classifier import Classifier, resizing
from advisor.models.predict import DECODED_TOGETHER, Predictions, SquareOutputs, classify
from advisor.records import Compute, ForwardSpec, Preprocess
from advisor.records.objective import DecisionRule
from advisor.runtime import device

if TYPE_CHECKING:
    from advisor.registry import Registry


@dataclass(frozen=True)
class Predictor:
    """A saved model, ready for images. `preprocess.size` and `.resize` are those that it was trained with.

    Predictions on a CPU come from a copy of `classifier` that is made at the first (`folding`): what changes `classifier`
    or hooks into it afterwards shows in `logits`, not in `predict`. `index` tells images that are unlike the training
    images; None where the model has none.
    """

    classifier: Classifier
    classes: tuple[str, ...]
    preprocess: Preprocess
    size_px: int
    fit: str
    temperature: float
    description: Mapping[str, Any]
    index: NoveltyIndex | None = None

    def __repr__(self) -> str:
        return f"Predictor({self.description['backbone']} at {self.size_px} px, {len(self.classes)} classes)"

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: no copy for predictions, which is made again where it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_folded"}

    @property
    def rule(self) -> pixels.PixelRule:
        """How an image becomes a square for this model."""
        return pixels.rule_for(self.preprocess, self.size_px, self.fit)

    @property
    def decision(self) -> DecisionRule:
        """How probabilities become a class: by the largest one unless the objective of the run asked for another rule."""
        stored = self.description.get("decision") or {}
        return DecisionRule(
            weights=tuple(stored.get("weights", ())), costs=tuple(tuple(row) for row in stored.get("costs", ()))
        )

    def logits(self, canvas: Pixels, *, compute: Compute | None = None, sizes: Sequence[int] | None = None) -> Float32s:
        """Compute the calibrated logits (N, K) of decoded squares, in float32.

        `sizes` are the sizes of the batches, by default the fixed one of scores (`inference`).
        """
        return self.outputs(canvas, 0, compute=compute, sizes=sizes)[0]

    def outputs(
        self, canvas: Pixels, width: int, *, compute: Compute | None = None, sizes: Sequence[int] | None = None
    ) -> tuple[Float32s, Float32s]:
        """Compute the calibrated logits (N, K) and the last `width` of the features that the head reads, (N, width)."""
        chosen = compute or device.choose("cpu", self.classifier.backbone)
        on_cpu = torch.device(chosen.device).type == "cpu"
        raw_NK, features_ND = inference.outputs(
            self._folded if on_cpu and (sizes is not None or chosen.fold_batch_norm) else self.classifier,
            canvas,
            np.arange(len(canvas)),
            ForwardSpec(self.preprocess, self.size_px, replace(chosen, precision="float32", fold_batch_norm=False)),
            sizes=sizes,
            width=width,
        )
        return raw_NK / np.float32(self.temperature), features_ND

    @functools.cached_property
    def _folded(self) -> Classifier:
        """The classifier for predictions and scores on a CPU, made once."""
        return folding.folded(self.classifier, self.size_px)

    def probabilities(
        self, canvas: Pixels, *, compute: Compute | None = None, sizes: Sequence[int] | None = None
    ) -> Float64s:
        """Compute the calibrated probabilities (N, K) of decoded squares."""
        return classification.probabilities(self.logits(canvas, compute=compute, sizes=sizes))

    def answers(
        self,
        canvas: Pixels,
        *,
        compute: Compute | None = None,
        sizes: Sequence[int] | None = None,
        with_features: bool = False,
    ) -> SquareOutputs:
        """Compute probabilities of decoded squares and, with an index, how unlike the training images they are.

        Features are those that the index compares, or, without an index, the network's last `dim` that the head reads.
        """
        width = self.feature_width if with_features or self.index is not None else 0
        logits_NK, features_ND = self.outputs(canvas, width, compute=compute, sizes=sizes)
        return SquareOutputs(
            classification.probabilities(logits_NK),
            None if self.index is None else novelty.p_values(self.index, features_ND),
            features_ND if with_features else None,
        )

    @property
    def feature_width(self) -> int:
        """The number of features by which images are compared: those of the last stage that the head reads."""
        if self.index is not None:
            return int(self.index.bank_ND.shape[1])
        return self.classifier.compared_width

    def predict(
        self,
        images: Iterable[Any],
        *,
        abstain: float | None = None,
        batch_size: int = DECODED_TOGETHER,
        compute: Compute | None = None,
        progress: CountProgress | None = None,
        with_features: bool = False,
    ) -> Predictions:
        """Classify paths, folders, PIL images, (H, W, 3) uint8 arrays or file objects; unreadable images are only listed.

        An image that has no path is named by its position, "#0". Memory use does not grow with the number of images,
        features aside. One image costs one pass; a probability differs from that of a large batch by rounding only
        (below 1e-5). `abstain` is the share of images like the training images, 0..1, that may be labelled "unknown" in
        order to catch those that are not. Raises InputError where the model has no index for it.
        """
        return classify(
            self,
            images,
            abstain=abstain,
            batch_size=batch_size,
            compute=compute,
            progress=progress,
            with_features=with_features,
        )


def weights_hash(classifier: nn.Module) -> str:
    """Compute the SHA-256 over every tensor's name, type, shape and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_tensors(classifier).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def state_tensors(classifier: nn.Module) -> dict[str, torch.Tensor]:
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
    """Write `model.safetensors` and `model.json`. `extra` adds fields to `model.json`.

    Raises OutputError if they cannot be written; existing files are then left as they were.
    """
    rule = pixels.rule_for(preprocess, size_px, fit)
    kind = next(name for name, cls in heads.MODULES.items() if type(classifier.head) is cls)
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
            **({} if rule.value_range is None else {"value_range": list(rule.value_range)}),
        },
        "temperature": temperature,
        "weights_sha256": weights_hash(classifier),
        **(extra or {}),
    }
    model_files.write_tensors(path_safetensors, state_tensors(classifier))
    model_files.write_description(path_json, description)


def load(directory: str | Path, registry: Registry, name: str = "model") -> Predictor:
    """Read a model that `save` wrote, on the CPU, in eval mode; `name` is the stem of its two files.

    Raises InputError if there is none or `model.json` is invalid, PluginError if its backbone is not installed,
    WeightsError if the tensors are damaged, constant, or do not belong to this description.
    """
    folder = Path(directory)
    description = model_files.read_description(folder / f"{name}.json")
    backbone = _backbone_of(description, registry)
    pre = description["preprocess"]
    state = model_files.read_tensors(folder / f"{name}.safetensors")
    body = backbones.build(backbone, draw=False)
    head = _build_head(description["head"], state, folder / f"{name}.json")
    tensor_files.check_outputs(state, description["classes"], folder / f"{name}.json")
    mirror, resize = bool(description.get("mirror")), resizing(pre["size_px"], pre.get("network_px"))
    classifier = Classifier(backbone, body, head, description["layers"], mirror=mirror, resize=resize)
    if tensor_files.is_constant({n: t for n, t in state.items() if n.startswith("body.")}):
        raise WeightsError(
            f"{folder}: {name}.safetensors holds no trained network: every matrix in it is constant.",
            hint="Copy both files from the run again.",
        )
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{folder}: the tensors in {name}.safetensors do not fit backbone {backbone.name} ({one_line(error)}).",
            hint="The file was damaged or replaced: copy both files from the run again.",
        ) from error
    if weights_hash(classifier) != description["weights_sha256"]:
        raise WeightsError(
            f"{folder}: {name}.safetensors is not the file that {name}.json describes.",
            hint="It was damaged or replaced: copy both files from the run again.",
        )
    return Predictor(
        classifier=classifier.eval(),
        classes=tuple(description["classes"]),
        preprocess=_preprocess(pre),
        size_px=pre["size_px"],
        fit=pre["fit"],
        temperature=float(description["temperature"]),
        description=description,
        index=model_files.read_novelty(folder, description, classifier.compared_width),
    )


def _preprocess(pre: Mapping[str, Any]) -> Preprocess:
    return Preprocess(
        size=pre["size_px"],
        resize=pre["resize_px"],
        interpolation=pre["interpolation"],
        mean=tuple(pre["mean"]),
        std=tuple(pre["std"]),
        value_range=tuple(pre["value_range"]) if "value_range" in pre else None,
    )


def _backbone_of(description: Mapping[str, Any], registry: Registry) -> Backbone:
    try:
        return registry.backbone(description["backbone"])
    except PluginError as error:
        plugin = description.get("plugin") or {}
        if not plugin.get("distribution"):
            raise
        name, version = plugin["distribution"], plugin.get("version", "")
        needed = f"this model needs the backbone {description['backbone']} of {name} {version}".rstrip()
        raise PluginError(f"{needed}.", hint=registry.remedy(name, version)) from error


def _build_head(kind: str, state: Mapping[str, torch.Tensor], described_in: Path) -> nn.Module:
    """Build a head with the tensor shapes in the file. Raises InputError for a head that is not there, WeightsError."""
    if kind not in heads.MODULES:
        model_files.fail(described_in, "head", f"one of {', '.join(heads.MODULES)}", kind)
    t = {n.removeprefix("head."): v for n, v in state.items() if n.startswith("head.")}
    try:
        return heads.MODULES[kind].from_tensors(t)
    except KeyError as error:
        raise WeightsError(f"the model's file lacks the head's tensor {error}.") from error
