"""A run directory as a search leaves it, small: a network of random weights, real photos cut into images, a recipe."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sample_recipe import example
from sklearn.datasets import load_sample_image

from advisor import registry
from advisor.data import pixels
from advisor.heads import fitting, linear_head
from advisor.metrics import novelty
from advisor.models import backbone, classifier, model_files, predictor
from advisor.records import Head, recipe_file
from advisor.reporting import model_card

CLASSES = ("flower", "roof", "sky & cloud")


def photos(folder: Path, count: int = 24) -> list[Path]:
    """Cut real photos into JPEG files of many shapes, in class folders."""
    draw = np.random.default_rng(5)
    sources = [load_sample_image("flower.jpg"), load_sample_image("china.jpg")]
    paths = []
    for index in range(count):
        source = sources[index % 2]
        height, width = draw.integers(70, 260, 2)
        top, left = draw.integers(0, source.shape[0] - height), draw.integers(0, source.shape[1] - width)
        path = folder / CLASSES[index % 3] / f"{index:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source[top : top + height, left : left + width]).save(path, quality=92)
        paths.append(path)
    return paths


def awake(body: torch.nn.Module, images_NCHW: torch.Tensor) -> torch.nn.Module:
    """Give a random network the batch statistics of real images: without them all images look alike to it."""
    norms = [m for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        body(images_NCHW)
    return body.eval()


def write_model(
    folder: Path,
    name: str,
    paths: list[Path],
    *,
    size_px: int = 64,
    fit: str = "crop",
    layers: str = "last",
    head: str = "linear",
) -> None:
    """Write `model.safetensors` and `model.json` of a network with random weights that tells these photos apart."""
    chosen = registry.load().backbone(name)
    squares = [pixels.decode(path, pixels.rule_for(chosen.preprocess, size_px, fit)) for path in paths]
    images_NHWC = pixels.centre(np.stack(squares), size_px)
    images_NCHW = torch.from_numpy(images_NHWC.copy()).permute(0, 3, 1, 2).float() / 255 - 0.5
    body = awake(backbone.build(chosen, seed=3).eval(), images_NCHW * 4)
    plain = classifier.Classifier(chosen, body, torch.nn.Identity(), layers).eval()
    with torch.no_grad():
        values_ND = plain.features(images_NCHW * 4)
    random = torch.Generator().manual_seed(4)
    width = values_ND.shape[1]
    weight = torch.randn(len(CLASSES), width, generator=random) * 0.7 / (values_ND.std(0).norm() + 1e-6)
    top: torch.nn.Module = linear_head.LinearHead(weight, -weight @ values_ND.mean(0))
    if head == "knn":
        top = fitting.fit(
            Head(kind="knn", numbers={"k": 3.0, "temperature": 0.2}), values_ND.numpy(), np.arange(len(paths)) % 3, 3
        )
    predictor.save(
        classifier.Classifier(chosen, body, top, layers),
        folder / "model.safetensors",
        folder / "model.json",
        classes=CLASSES,
        preprocess=chosen.preprocess,
        size_px=size_px,
        fit=fit,
        temperature=1.3,
        extra={"status": "final", "strategy": "ridge", "plugin": {"distribution": "tl-advise", "version": "0.1.0"}},
    )


def make(folder: Path, name: str = "mobilenet_v3_small", **options: object) -> Path:
    """Make a run directory and its data set below `folder`; give the run."""
    run, data = folder / "run", folder / "data"
    run.mkdir(parents=True)
    paths = photos(data)
    write_model(run, name, paths, **options)  # type: ignore[arg-type]
    with open(run / "splits.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(("path", "label", "split", "group", "sha256"))
        for index, path in enumerate(paths):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            split = "test" if index % 4 == 0 else "train"
            table.writerow((path.relative_to(data).as_posix(), path.parent.name, split, "", digest))
    recipe = example()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, path_hint=str(data), classes=CLASSES))
    (run / "recipe.yaml").write_text(recipe_file.write(recipe), encoding="utf-8")
    from results import final

    (run / "README.md").write_text(model_card.render(final(), recipe), encoding="utf-8")
    return run


def add_index(run: Path, paths: list[Path], *, name: str = "model") -> None:
    """Give a run's model an index of these images, every eighth of them held out, as a finished search does."""
    model = predictor.load(run, registry.load(), name)
    features_ND = model.predict(paths, with_features=True).features
    assert features_ND is not None
    rows = np.arange(len(features_ND))
    index = novelty.build(features_ND[rows % 8 != 0])
    assert index is not None
    model_files.write_novelty(run, novelty.with_held_out(index, features_ND[rows % 8 == 0]), name)


def add_ensemble(run: Path, paths: list[Path], name: str = "pocket", *, with_index: bool = False) -> Path:
    """Give a run an ensemble of two heads on one network, and one on its smaller squares; return its folder."""
    members = [run / "trials" / f"member-{number}" for number in range(3)]
    for member, (head, size_px) in zip(members, (("knn", 64), ("linear", 64), ("linear", 48)), strict=True):
        member.mkdir(parents=True)
        write_model(member, name, paths, head=head, size_px=size_px)
    folder = run / model_files.ENSEMBLE_FOLDER
    folder.mkdir()
    model_files.write_ensemble(folder, members, {})
    if with_index:
        add_index(folder, paths, name="model-0")
    return folder
