"""What a tuned model has kept: exact at both ends, honest about its images, and the source head is asked the same twice."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import write_crops

from advisor.cli import run
from advisor.data import domains
from advisor.errors import DatasetError, TrialError
from advisor.execution import refit, trainer
from advisor.execution.insight import forgetting
from advisor.metrics import classification
from advisor.models import predictor, weight_ops
from advisor.records import Candidate, Settings
from advisor.records.messages import MeasureForgetting, Refit
from advisor.workflows.session import Session, make_candidate, open_session

SHARES = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Candidate, Path]:
    """A pocket network that was fine-tuned on the first fold's part of real crops, and written down."""
    folder = tmp_path_factory.mktemp("retention")
    crops = write_crops(folder / "crops", classes=3, each=15, side_px=32)
    settings = Settings(data=str(crops), backbones=("pocket",), size_px=32, offline=True, threads=1, test_split="none")
    session = open_session(settings)
    candidate = make_candidate(session, "full", {"epochs": 1.0})
    job = Refit(candidate=candidate, seed=0, to=str(folder / "model"), temperature=1.0, folds=(0,))
    refit.refit(session.resources, job, lambda progress: None)
    return session, candidate, folder / "model"


def ask(candidate: Candidate, folder: Path, fold: int | None = 0, **more: object) -> MeasureForgetting:
    """Ask about twelve images, more than there are."""
    return MeasureForgetting(
        candidate=candidate, folder=str(folder), fold=fold, seed=0, images=12, shares=SHARES, **more
    )  # type: ignore[arg-type]


def test_both_ends_are_the_start_and_the_model(tuned: tuple[Session, Candidate, Path]) -> None:
    """Share 0 scores as the network before training, share 1 as the model on disk, on held-out images of the fold."""
    session, candidate, folder = tuned
    measured = forgetting.measure(session.resources, ask(candidate, folder)).forgetting
    train, held = session.resources.folds()[0]
    rows = np.sort(held[np.argsort(session.resources.ids[held], kind="stable")][:12])
    plan = session.resources.plan(candidate, train)
    start = trainer.classifier_for(session.resources, candidate, plan, train, 0)
    after = predictor.load(folder, session.resources.registry).classifier
    for network, share in ((start, 0.0), (after, 1.0)):
        logits = trainer.score_rows(session.resources, candidate, plan, network, rows)
        expected = classification.accuracy(logits, session.resources.labels[rows])
        assert next(b.accuracy for b in measured.blends if b.share == share) == pytest.approx(expected)
    assert measured.held_out
    assert measured.images == 9
    assert [b.share for b in measured.blends] == list(SHARES)
    assert 0 < (measured.cka or 0) < 1
    assert all(s.distance is None or s.distance > 0 for s in measured.stages.values())
    assert measured.source is None
    assert measured.source_reason is None


def test_a_model_of_the_whole_pool_says_nothing_of_new_images(tuned: tuple[Session, Candidate, Path]) -> None:
    """Without a fold the images were trained on: the curve has no accuracy of the new task."""
    session, candidate, folder = tuned
    measured = forgetting.measure(session.resources, ask(candidate, folder, fold=None)).forgetting
    assert not measured.held_out
    assert all(b.accuracy is None for b in measured.blends)


def test_an_untouched_network_has_kept_everything(tuned: tuple[Session, Candidate, Path], tmp_path: Path) -> None:
    """A model that equals its start has CKA 1, all neighbours and no distance."""
    session, candidate, _ = tuned
    train, _ = session.resources.folds()[0]
    plan = session.resources.plan(candidate, train)
    start = trainer.classifier_for(session.resources, candidate, plan, train, 0)
    trainer.write_model(
        session.resources, candidate, plan, start, tmp_path, rows=1, temperature=1.0, status="final", seconds=0.0
    )
    measured = forgetting.measure(session.resources, ask(candidate, tmp_path)).forgetting
    assert measured.cka == pytest.approx(1.0)
    assert measured.neighbours == 1.0
    assert {s.distance for s in measured.stages.values() if s.distance is not None} == {0.0}


def test_what_changed_nothing_is_refused(tuned: tuple[Session, Candidate, Path]) -> None:
    """A head on frozen features, or a network from scratch, has nothing to forget."""
    session, _, folder = tuned
    for name in ("ridge", "scratch"):
        other = make_candidate(session, name)
        with pytest.raises(TrialError, match="nothing was forgotten"):
            forgetting.measure(session.resources, ask(other, folder))


def test_a_network_without_its_head_says_so(tuned: tuple[Session, Candidate, Path]) -> None:
    """The pocket network has no source classifier: the other measures stand, and the reason is told."""
    session, candidate, folder = tuned
    items = session.resources.job.items[:4]
    job = ask(candidate, folder, source_root=session.resources.job.root, source_items=items, source_classes=3)
    measured = forgetting.measure(session.resources, job).forgetting
    assert measured.source is None
    assert "source classifier" in (measured.source_reason or "")


def test_source_images_are_class_folders(tmp_path: Path) -> None:
    """Items are labelled by the place of their folder in the sorted order; fewer than two folders are told in one line."""
    crops = write_crops(tmp_path / "crops", classes=3, each=4, side_px=32)
    source = domains.read_source(str(crops))
    assert source.classes == 3
    assert {i.path.split("/")[0]: i.label for i in source.items} == {"class 0": 0, "class 1": 1, "class 2": 2}
    with pytest.raises(DatasetError, match=r"--source .*class folders"):
        domains.read_source(str(crops / "class 0"))


def test_source_images_that_are_not_used_are_not_read(tmp_path: Path) -> None:
    """As many as asked for, by names alone; a broken file gives way to the next, and one without readers costs nothing."""
    crops = write_crops(tmp_path / "crops", classes=3, each=4, side_px=32)
    everything = domains.read_source(str(crops))
    some = domains.read_source(str(crops), most=5)
    assert some.items == everything.items[:5]
    (crops / some.items[0].path).write_bytes(b"no image")
    (crops / some.items[1].path).unlink()
    os.mkfifo(crops / some.items[1].path)
    assert domains.read_source(str(crops), most=3).items == everything.items[2:5]


@pytest.mark.parametrize("content", [None, b"no image"])
def test_class_folders_without_images_are_refused_at_the_start(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty folders, or files that are no images, end the call before a run directory is made."""
    crops = write_crops(tmp_path / "crops", each=4, side_px=32)
    for name in ("a", "b"):
        (tmp_path / "source" / name).mkdir(parents=True)
        if content is not None:
            (tmp_path / "source" / name / "1.jpg").write_bytes(content)
    assert run(["advise", str(crops), "--source", str(tmp_path / "source"), "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr().err
    assert f"--source {tmp_path / 'source'}: no image" in " ".join(shown.split())
    assert not (tmp_path / "run").exists()


def test_squeezenet_knows_its_source(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its whole head, SqueezeNet classifies source pictures before, and tuned with broken weights no longer."""
    unpack = [sys.executable, str(shared / "unpack.py"), "imagenet1000", "--to", str(tmp_path)]
    subprocess.run(unpack, check=True, stdout=subprocess.DEVNULL)
    monkeypatch.setenv("TORCH_HOME", str(shared / "torch_home"))
    crops = write_crops(tmp_path / "crops", classes=2, each=10, side_px=32)
    settings = Settings(
        data=str(crops), backbones=("squeezenet1_1",), size_px=64, offline=True, threads=1, test_split="none"
    )
    session = open_session(settings)
    candidate = make_candidate(session, "full", {"epochs": 1.0})
    train, _ = session.resources.folds()[0]
    plan = session.resources.plan(candidate, train)
    broken = trainer.classifier_for(session.resources, candidate, plan, train, 0)
    draw = torch.Generator().manual_seed(0)
    noise = {n: 0.1 * torch.randn(v.shape, generator=draw) for n, v in weight_ops.floats(broken).items()}
    weight_ops.put(noise, broken)
    trainer.write_model(
        session.resources, candidate, plan, broken, tmp_path / "m", rows=1, temperature=1.0, status="final", seconds=0.0
    )
    given = domains.read_source(str(tmp_path / "imagenet1000"))
    asked = ask(candidate, tmp_path / "m", source_root=given.root, source_items=given.items[:40])
    job = replace(asked, source_classes=given.classes, shares=(0.0, 1.0))
    measured = forgetting.measure(session.resources, job).forgetting
    assert measured.source is not None
    assert measured.source.before > 0.3
    assert measured.source.after < 0.1
    odd = forgetting.measure(session.resources, replace(job, source_classes=999)).forgetting
    assert "1000 classes" in (odd.source_reason or "")


@pytest.mark.parametrize("command", ["advise", "rerun"])
def test_a_source_that_is_not_there_is_told_at_the_start(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read or trained, a --source without class folders ends the call with one line and code 2."""
    assert run([command, str(tmp_path), "--source", str(tmp_path / "nowhere")]) == 2
    assert "--source" in capsys.readouterr().err
