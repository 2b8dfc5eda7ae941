"""The comparison of an export with `predict`: on which images, and that it sees a wrong model."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advisor import registry
from advisor.aliases import Pixels
from advisor.errors import InputError
from advisor.exporting import graph, parity
from advisor.heads import fitting
from advisor.models import predictor
from advisor.records import Head


class Scrambled(graph.Deployed):
    """Right probabilities beside features in another order."""

    def forward(self, images_NHWC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        probabilities, features = super().forward(images_NHWC)
        return probabilities, features.flip(1)


def test_the_comparison_sees_a_wrong_model(run: Path) -> None:
    """Left-out normalisation, swapped channels and a lost temperature are each told from the model."""
    model = predictor.load(run, registry.load())
    photos = parity.run_images(run)
    right = graph.Deployed(model.classifier, model.preprocess.mean, model.preprocess.std, model.temperature)
    wrongs = {
        "none": right,
        "normalisation": graph.Deployed(model.classifier, (0.5,) * 3, (0.5,) * 3, model.temperature),
        "temperature": graph.Deployed(model.classifier, model.preprocess.mean, model.preprocess.std, 1.0),
        "features": Scrambled(model.classifier, model.preprocess.mean, model.preprocess.std, model.temperature, 512),
    }

    def answer(module: torch.nn.Module, swap: bool = False) -> parity.ComputeOutputs:
        def run_it(squares: Pixels) -> parity.Outputs:
            images = np.ascontiguousarray(squares[..., ::-1] if swap else squares)
            with torch.no_grad():
                answered = module.eval()(torch.from_numpy(images))
            each = answered if isinstance(answered, tuple) else (answered,)
            return parity.outputs([tensor.numpy() for tensor in each])

        return run_it

    compared = {name: parity.compare(model, answer(module), photos) for name, module in wrongs.items()}
    assert compared["none"].holds
    assert not compared["normalisation"].holds
    assert not compared["temperature"].holds
    assert not compared["features"].holds
    assert compared["features"].worst <= parity.TOLERANCE
    assert not parity.compare(model, answer(right, swap=True), photos).holds


def test_classes_that_tie_may_change_places(run: Path) -> None:
    """The last bits order probabilities that tie; that is no disagreement, another class first by more than that is one."""
    model = predictor.load(run, registry.load())
    photos = parity.run_images(run)[:8]
    want_NK = model.predict(list(photos)).probabilities
    top_N = want_NK.argmax(axis=1)
    second_N = np.where(np.arange(want_NK.shape[1]) == top_N[:, None], -1, want_NK).argmax(axis=1)

    def tied(more: float) -> parity.Parity:
        even_NK = want_NK.copy()
        rows = np.arange(len(even_NK))
        even_NK[rows, top_N] = even_NK[rows, second_N] = 0.5 - 1e-9
        ours_NK = even_NK.copy()
        even_NK[rows, top_N] += more
        ours_NK[rows, second_N] += more
        stub = SimpleNamespace(
            rule=model.rule,
            size_px=model.size_px,
            predict=lambda readable, with_features: SimpleNamespace(probabilities=even_NK, features=None),
        )
        return parity.compare(stub, lambda squares: (ours_NK, None), photos)  # type: ignore[arg-type]

    assert tied(1e-10).holds
    assert tied(1e-10).agreement == 1.0
    assert tied(1e-2).agreement == 0.0


def test_test_images_come_first_and_are_spread(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison prefers the locked test, then others; where the data moved, --data says so; none is an error."""
    chosen = parity.run_images(run)
    assert [int(path.stem) % 4 for path in chosen[:6]] == [0] * 6
    assert len(set(chosen)) == 24
    moved = tmp_path / "moved"
    shutil.copytree(run.parent / "data", moved)
    assert parity.run_images(run, moved)[0].is_relative_to(moved)
    with pytest.raises(InputError, match="Say where they are with --data DIR"):
        parity.run_images(run, tmp_path)
    with pytest.raises(InputError, match=r"recipe.yaml: no such recipe"):
        parity.run_images(tmp_path)


def test_a_graph_carries_the_logit_adjustment_of_nearest_neighbours() -> None:
    """The neighbours' head of a graph answers as the fitted one does, which is raised by the rarity of classes."""
    draws = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), (30, 8, 4))
    features = (draws.standard_normal((42, 6)) + labels[:, None]).astype(np.float32)
    head = fitting.fit(Head(kind="knn"), features, labels, 3, class_weights="logit_adjust")
    new = torch.from_numpy(draws.standard_normal((20, 6)).astype(np.float32))
    torch.testing.assert_close(graph.Neighbours(head)(new), head(new))


def test_images_with_equal_bytes_share_a_group(run: Path, tmp_path: Path) -> None:
    """The interval of an INT8 export counts copies of a test image once, as the score of the run does."""
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    with open(run / "splits.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({image.group for image in parity.listed(run)}) == len(rows)
    rows[1]["sha256"], rows[3]["group"], rows[4]["group"] = rows[2]["sha256"], "patient", "patient"
    with open(copied / "splits.csv", "w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    groups = [image.group for image in parity.listed(copied)]
    assert groups[1] == groups[2]
    assert groups[3] == groups[4]
    assert len(set(groups)) == len(rows) - 2
