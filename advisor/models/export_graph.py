"""What an exported model is made of: the graph with everything inside, and the text that says how to feed it.

The graph takes uint8 RGB images (N, S, S, 3), as Pillow and numpy hold them, and gives calibrated probabilities
(N, K): normalisation, network, head, temperature and softmax are inside. What stays outside is the resize, stated to
the pixel in the description and done by a ten-line example. What it does not cover: files and the parity check
(`export`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from advisor.errors import AdviseError
from advisor.heads import modules
from advisor.models.classifier import Classifier
from advisor.models.ensemble_predictor import EnsemblePredictor
from advisor.models.predictor import Predictor

INPUT = "images"
OUTPUT = "probabilities"


class Deployed(nn.Module):
    """uint8 RGB (N, S, S, 3) -> calibrated probabilities (N, K), in float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, classifier: Classifier, mean: tuple[float, ...], std: tuple[float, ...], temperature: float
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (N, K)."""
        x_NCHW = images_NHWC.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        logits_NK = self.classifier((x_NCHW - self.mean) / self.std)
        return torch.softmax(logits_NK.to(torch.float32) / self.temperature, dim=1)


class Neighbours(nn.Module):
    """The k-nearest-neighbour head with its settings as plain numbers: a graph cannot branch on what is in a tensor."""

    bank: torch.Tensor
    one_hot: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, head: modules.KnnHead) -> None:
        super().__init__()
        classes, k, self.sharpness, self.factor = head.settings.tolist()
        self.classes, self.k = int(classes), max(1, min(int(k), len(head.bank)))
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
        return logits_NK


class Mean(nn.Module):
    """uint8 RGB (N, S, S, 3) -> the mean of several models' calibrated probabilities (N, K)."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (N, K)."""
        return torch.stack([member(images_NHWC) for member in self.members]).mean(dim=0)


def members(predictor: Predictor | EnsemblePredictor) -> tuple[Predictor, ...]:
    """List the models that answer: one, or those of an ensemble."""
    return predictor.members if isinstance(predictor, EnsemblePredictor) else (predictor,)


def _deployed(predictor: Predictor) -> nn.Module:
    trained = predictor.classifier.to(torch.device("cpu"), torch.float32)
    head = Neighbours(trained.head) if isinstance(trained.head, modules.KnnHead) else trained.head
    classifier = Classifier(trained.backbone, trained.body, head, trained.layers, mirror=trained.mirror)
    classifier = classifier.to(memory_format=torch.contiguous_format)
    pre = predictor.preprocess
    return Deployed(classifier.eval(), pre.mean, pre.std, predictor.temperature).eval()


def graph(predictor: Predictor | EnsemblePredictor) -> torch.export.ExportedProgram:
    """Trace the whole way from pixels to probabilities, for any batch size, on the CPU in float32.

    Raises: AdviseError where torch.export cannot follow a backbone's code.
    """
    each = [_deployed(member) for member in members(predictor)]
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


def description(predictor: Predictor | EnsemblePredictor, form: str, file: str) -> dict[str, Any]:
    """Return what the exported file takes and gives, and how a photo becomes its input: the side file `model.json`."""
    rule, side = predictor.rule, predictor.size_px
    told = predictor.description
    return {
        "schema": 1,
        "format": form,
        "file": file,
        "classes": list(predictor.classes),
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "channels": "RGB",
            "layout": "NHWC",
            "shape": ["batch", side, side, 3],
        },
        "resize": {
            "fit": rule.fit,
            "resize_px": rule.resize_px,
            "size_px": side,
            "interpolation": rule.interpolation,
            "antialias": True,
            **({} if rule.value_range is None else {"value_range": list(rule.value_range)}),
            "steps": _steps(predictor),
        },
        "inside": _inside(predictor),
        "output": {"name": OUTPUT, "dtype": "float32", "shape": ["batch", len(predictor.classes)]},
        "backbone": told["backbone"],
        "weights_sha256": told["weights_sha256"],
    }


def _inside(predictor: Predictor | EnsemblePredictor) -> dict[str, Any]:
    """Return what the graph does to the pixels; an ensemble's members each do it, and their probabilities are averaged."""
    if isinstance(predictor, EnsemblePredictor):
        return {"mean_of": [_inside(member) for member in predictor.members]}
    return {
        "divide_by": 255,
        "mean": list(predictor.preprocess.mean),
        "std": list(predictor.preprocess.std),
        "softmax_temperature": predictor.temperature,
    }


def _steps(predictor: Predictor | EnsemblePredictor) -> list[str]:
    rule, side = predictor.rule, predictor.size_px
    how = f"{rule.interpolation} with antialiasing, as Pillow does it"
    turned = "decode to 8-bit RGB, turned as EXIF says; transparency over white"
    if rule.fit == "squash":
        return [turned, f"resize to {side} x {side} pixels, {how}"]
    if rule.fit == "pad":
        from advisor.data.pixels import PAD_COLOUR

        return [
            turned,
            f"resize so that the long side is {side} pixels, the short side rounded, {how}",
            f"put it into the middle of a {side} x {side} square of colour {PAD_COLOUR}, offsets rounded down",
        ]
    return [
        turned,
        f"resize so that the short side is {rule.resize_px} pixels, the long side rounded down, {how}",
        f"cut the central square of {side} x {side} pixels, offsets rounded half to even",
    ]


def example(predictor: Predictor | EnsemblePredictor, form: str, file: str) -> str:
    """Write a program of ten lines that classifies one photo with the exported file and nothing of this project."""
    if form == "safetensors":
        return _EXAMPLE_SAFETENSORS
    package, loading, running = {
        "torch": (
            "torch",
            f'model = torch.export.load("{file}").module()',
            "probabilities = model(torch.from_numpy(pixels))[0].tolist()",
        ),
        "onnx": (
            "onnxruntime",
            f'model = onnxruntime.InferenceSession("{file}")',
            f'probabilities = model.run(None, {{"{INPUT}": pixels}})[0][0].tolist()',
        ),
    }[form]
    lines = [
        f"import json, sys, numpy as np, {package}",
        "from PIL import Image, ImageOps",
        'classes = json.load(open("model.json", encoding="utf-8"))["classes"]',
        loading,
        'photo = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")',
        textwrap.dedent(_square(predictor)).strip(),
        running,
        "print(max(zip(probabilities, classes)))",
    ]
    return "\n".join(lines) + "\n"


def _square(predictor: Predictor | EnsemblePredictor) -> str:
    """The resize rule as Pillow code; `photo` is an RGB image, `pixels` becomes (1, S, S, 3) uint8."""
    rule, side = predictor.rule, predictor.size_px
    how = f"Image.Resampling.{rule.interpolation.upper()}"
    if rule.fit == "squash":
        return f"pixels = np.array(photo.resize(({side}, {side}), {how}))[None]"
    if rule.fit == "pad":
        from advisor.data.pixels import PAD_COLOUR

        return f"""
            w, h = (max(1, round(s * {side} / max(photo.size))) for s in photo.size)
            square = Image.new("RGB", ({side}, {side}), {PAD_COLOUR})
            square.paste(photo.resize((w, h), {how}), (({side} - w) // 2, ({side} - h) // 2))
            pixels = np.array(square)[None]"""
    return f"""
        photo = photo.resize([int({rule.resize_px} * s / min(photo.size)) for s in photo.size], {how})
        x, y = (round((s - {side}) / 2) for s in photo.size)
        pixels = np.array(photo.crop((x, y, x + {side}, y + {side})))[None]"""


_EXAMPLE_SAFETENSORS = """\
import sys
import advisor
predictor = advisor.load(".")  # the folder with the files of this export
found = predictor.predict(sys.argv[1:])
for path, row in zip(found.paths, found.probabilities):
    print(max(zip(row.tolist(), found.classes)), path)
"""
