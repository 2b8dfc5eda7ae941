"""What lies beside an exported model: `model.json` (what it takes and returns, to the pixel) and `example.py` (twenty lines).

In: a predictor. Out: the description as a dictionary, its text, and the program. What is outside the graph is stated here: the
resize, and the rule that decides a class where the objective asks for another one than the most probable.
Does NOT cover: the graph (`graph`), how a format is loaded and run (`formats`).
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.records.objective import DecisionRule

if TYPE_CHECKING:
    from advisor.data.pixels import PixelRule
    from advisor.metrics.novelty import NoveltyIndex
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor

FILE = "model.json"
INPUT = "images"
OUTPUT = "probabilities"
FEATURES = "features"
INDEX = "unlike.npz"
SAMPLES_16_BIT = (0.0, 65535.0)  # what becomes black and white where the training images were of 8 bits
RATE = 0.05  # of images like the training images that are called unlike at the stated threshold


def describe(predictor: Predictor | EnsemblePredictor, form: str, file: str) -> dict[str, Any]:
    """Return what the exported file takes and returns, and how a photo becomes its input."""
    rule, side = predictor.rule, predictor.size_px
    stored = predictor.description
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
        **({} if predictor.decision == DecisionRule() else {"decision": _decision(predictor.decision)}),
        "backbone": stored["backbone"],
        "weights_sha256": stored["weights_sha256"],
    }


def with_features(description: Mapping[str, Any], predictor: Predictor | EnsemblePredictor) -> dict[str, Any]:
    """Add the graph's second output, and how it tells images that are unlike the training images, where there is an index."""
    output = {"name": FEATURES, "dtype": "float32", "shape": ["batch", predictor.feature_width]}
    index = predictor.index
    return {**description, "features": output, **({} if index is None else {"unlike": _unlike(index)})}


def _unlike(index: NoveltyIndex) -> dict[str, Any]:
    from advisor.metrics import novelty

    rate = max(RATE, index.smallest_rate)
    return {
        "file": INDEX,
        "features": FEATURES,
        "neighbours": index.k,
        "known": len(index.known_R),
        "rate": rate,
        "threshold": novelty.threshold(index, rate),
        "how": "similarity = mean of the largest `neighbours` cosine similarities of the features to the rows of `bank`; an "
        "image is unlike the training images where it is below `threshold`, which `rate` of the images like them are; its "
        "share is (1 + number of `known` at most the similarity) / (1 + `known`)",
    }


def write_index(folder: Path, predictor: Predictor | EnsemblePredictor) -> None:
    """Write the index of training images that `with_features` names, for numpy. Raises OSError."""
    import numpy as np

    if predictor.index is None:
        return
    np.savez(folder / INDEX, bank=predictor.index.bank_ND.astype(np.float16), known=predictor.index.known_R)


def _decision(rule: DecisionRule) -> dict[str, Any]:
    how = (
        "the class k with the lowest sum over i of probabilities[i] * costs[i][k]"
        if rule.costs
        else "the class k with the largest probabilities[k] * weights[k]"
    )
    threshold = {} if rule.threshold is None else {"threshold_of_second_class": rule.threshold}
    return {**asdict(rule), **threshold, "how": how}


def _inside(predictor: Predictor | EnsemblePredictor) -> dict[str, Any]:
    """Return what the graph does to the pixels; an ensemble's members each do it, and their probabilities are averaged.

    `resize_to_px` is the side that a member's network sees, bilinear with antialiasing, where it is not the input's.
    """
    from advisor.models.ensemble_predictor import EnsemblePredictor

    if isinstance(predictor, EnsemblePredictor):
        return {"mean_of": [_inside(member) for member in predictor.members]}
    return {
        "divide_by": 255,
        "mean": list(predictor.preprocess.mean),
        "std": list(predictor.preprocess.std),
        **({} if predictor.classifier.resize is None else {"resize_to_px": predictor.classifier.resize.to_px}),
        "softmax_temperature": predictor.temperature,
    }


def _reduced(rule: PixelRule) -> str:
    """Return the words on the scale at which large JPEG files are decoded, if at a reduced one."""
    from advisor.data.pixels import LARGE_JPEG

    if not rule.reduced_px:
        return ""
    return (
        f" (a JPEG of more than {LARGE_JPEG:,} pixels at a scale of 1/2, 1/4 or 1/8, whose short side is still at least "
        f"{rule.reduced_px} pixels)"
    )


def _steps(predictor: Predictor | EnsemblePredictor) -> list[str]:
    rule, side = predictor.rule, predictor.size_px
    how = f"{rule.interpolation} with antialiasing, as Pillow does it"
    low, high = rule.value_range or SAMPLES_16_BIT
    turned = (
        f"decode to 8-bit RGB{_reduced(rule)}, turned as EXIF says; deeper samples from {low:g} (black) to {high:g} (white); "
        "transparency over white"
    )
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


def text(description: Mapping[str, Any]) -> str:
    """Return JSON with innermost lists on one line; names hold no raw line breaks, so only layout is touched."""
    indented = json.dumps(description, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda match: re.sub(r"\n\s*", " ", match[0]), indented)


def write(folder: Path, description: Mapping[str, Any]) -> None:
    """Write `model.json`. Raises OSError."""
    (folder / FILE).write_text(text(description) + "\n", encoding="utf-8")


def example(predictor: Predictor | EnsemblePredictor, *, package: str, loading: str, running: str) -> str:
    """Return a program of some twenty lines that classifies one photo without this project.

    `loading` binds `model`, `running` binds `outputs`, the graph's arrays, from `pixels` (1, S, S, 3) uint8.
    """
    lines = [
        f"import json, sys, numpy as np, {package}",
        "from PIL import Image, ImageOps",
        f'classes = json.load(open("{FILE}", encoding="utf-8"))["classes"]',
        loading,
        textwrap.dedent(_decoded(predictor)).strip(),
        textwrap.dedent(_square(predictor)).strip(),
        f"{running}; probabilities = outputs[0][0].tolist()",
        *_answer(predictor.decision),
        *(_likeness() if predictor.index is not None else ()),
    ]
    return "\n".join(lines) + "\n"


def _answer(rule: DecisionRule) -> list[str]:
    """The lines that print the decided class and its probability."""
    if rule == DecisionRule():
        return ["print(max(zip(probabilities, classes)))"]
    field = "costs" if rule.costs else "weights"
    decided = (
        "(probabilities @ np.array(costs)).argmin()" if rule.costs else "(probabilities * np.array(weights)).argmax()"
    )
    return [
        f'{field} = json.load(open("{FILE}", encoding="utf-8"))["decision"]["{field}"]  # what the objective asks for',
        f"decided = {decided}",
        "print((probabilities[decided], classes[decided]))",
    ]


def _likeness() -> list[str]:
    """The lines that print whether the photo is unlike the training images."""
    return [
        f'index, unlike = np.load("{INDEX}"), json.load(open("{FILE}", encoding="utf-8"))["unlike"]',
        'bank, features = index["bank"].astype(np.float32), outputs[1][0]',
        "similar = bank @ features / np.linalg.norm(bank, axis=1) / np.linalg.norm(features)",
        'is_unlike = np.sort(similar)[-unlike["neighbours"]:].mean() < unlike["threshold"]',
        'print("unlike the training images" if is_unlike else "like the training images")',
    ]


def _decoded(predictor: Predictor | EnsemblePredictor) -> str:
    """The rules of `data.images` and `data.decoding.to_rgb` as Pillow code: `photo` becomes an RGB image.

    Without a range of the training images, only samples of 16 bits have a certain meaning here; others are refused.
    """
    low, high = predictor.rule.value_range or SAMPLES_16_BIT
    refused = """
            if photo.mode == "F" or (photo.mode == "I" and photo.format != "PNG"):
                sys.exit(f"{sys.argv[1]}: samples of mode {photo.mode} have no known range")"""
    from advisor.data.pixels import LARGE_JPEG

    reduced = ""
    if predictor.rule.reduced_px:
        reduced = f"""
        if photo.format == "JPEG" and photo.width * photo.height > {LARGE_JPEG}:
            scale = max(1, min(photo.size) / {predictor.rule.reduced_px})
            photo.draft("RGB", (int(photo.width / scale), int(photo.height / scale)))"""
    return f"""
        photo = Image.open(sys.argv[1]){reduced}
        photo.load()
        if photo.format == "MPO" or (photo.format != "TIFF" and "exif" in photo.info):
            photo = ImageOps.exif_transpose(photo)
        if photo.mode[0] in "IF":  # samples of more than 8 bits{refused if predictor.rule.value_range is None else ""}
            low, high = {low!r}, {high!r}  # black and white
            grey = np.nan_to_num(np.array(photo, np.float64), nan=low, posinf=high, neginf=low)
            grey = np.clip(np.rint((grey - low) * (255 / max(high - low, 1e-12))), 0, 255)
            photo = Image.fromarray(grey.astype(np.uint8))
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, photo.convert("RGBA")).convert("RGB")"""


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
