"""Adaptation end to end on small real photos: no label of the target is seen before the choice, and statistics move."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import write_crops
from PIL import Image, ImageOps

import advisor
from advisor import registry
from advisor.cli import run
from advisor.data import domains
from advisor.errors import DatasetError, InputError, TrialError
from advisor.models import predictor
from advisor.records import Settings, recipe_file
from advisor.workflows import adaptation, adaptation_arm, adaptation_run
from advisor.workflows.adaptation import AdaptedArm
from advisor.workflows.session import Session, make_candidate, open_session


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Thirty source crops in three classes, and as many others in negative as the target."""
    base = tmp_path_factory.mktemp("data")
    source = write_crops(base / "source", each=10, side_px=32)
    aim = write_crops(base / "target", each=8, side_px=32, seed=1)
    for path in aim.rglob("*.jpg"):
        ImageOps.invert(Image.open(path)).save(path)
    (aim / "class 0" / "broken.jpg").write_bytes(b"no image")
    return source, aim


def session(source: Path, aim: Path | None) -> Session:
    settings = Settings(data=str(source), backbones=("pocket",), size_px=32, offline=True, threads=1)
    return open_session(settings, target=str(aim) if aim else None)


def test_a_target_has_no_labels_where_training_looks(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Items of the target carry label 0 whatever their folders say; what folders say is kept apart; broken files go."""
    read = domains.read(str(folders[1]), ["class 0", "class 1", "class 2"])
    assert {i.label for i in read.items} == {0}
    assert np.bincount(read.hidden_labels).tolist() == [8, 8, 8]
    assert [u.path for u in read.unreadable] == ["class 0/broken.jpg"]
    flat = tmp_path / "flat"
    flat.mkdir()
    for n, path in enumerate(sorted(folders[1].rglob("*.jpg"))):
        shutil.copy(path, flat / f"{n}.jpg")
    assert set(domains.read(str(flat), ["class 0"]).hidden_labels) == {domains.UNLABELLED}
    remaining = domains.drop_items(read, [read.items[0].path])
    assert len(remaining.items) == len(remaining.hidden_labels) == 23
    with pytest.raises(DatasetError, match="no such folder"):
        domains.read(str(tmp_path / "nowhere"), [])


def test_information_is_mutual_information() -> None:
    """Certain, balanced predictions have log K nats; the same for all has none; uncertain ones have none."""
    assert adaptation.information(np.eye(4).repeat(3, 0) * 99) == pytest.approx(np.log(4), abs=1e-6)
    assert adaptation.information(np.tile([9.0, 0, 0], (5, 1))) == pytest.approx(0.0, abs=1e-9)
    assert adaptation.information(np.zeros((5, 3))) == pytest.approx(0.0, abs=1e-9)


def test_the_choice_reads_no_target_label() -> None:
    """The arm with most information wins, unless it has lost the source; target accuracies play no part."""
    runs = [
        AdaptedArm(arm="a", seed=0, source_accuracy=0.9, information=0.5, target_accuracy=0.9),
        AdaptedArm(arm="b", seed=0, source_accuracy=0.88, information=0.7, target_accuracy=0.1),
        AdaptedArm(arm="b", seed=1, source_accuracy=0.88, information=0.8, target_accuracy=0.1),
        AdaptedArm(arm="c", seed=0, source_accuracy=0.5, information=2.0, target_accuracy=1.0),
    ]
    assert adaptation.choose(runs) == runs[2]
    assert adaptation.choose([replace(r, target_accuracy=None) for r in runs]).arm == "b"


def test_arms_are_trained_chosen_and_scored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Every arm has a run a seed; the chosen model predicts; without labelled folders the answer is the same, unscored."""
    here = session(*folders)
    adapted = adaptation.adapt(here, arms=("full", "mcc", "dann"), epochs=1.0, to=tmp_path / "model")
    assert [r.arm for r in adapted.runs] == ["full", "full + target statistics", "mcc", "dann"]
    assert adapted.target_labelled == 24
    assert adapted.target_accuracy == next(r.target_accuracy for r in adapted.runs if r.arm == adapted.chosen)
    model = predictor.load(tmp_path / "model", registry.load())
    assert len(model.predict([str(p) for p in sorted(folders[1].rglob("00*.jpg"))[:3]]).paths) == 3
    json.dumps(adapted.target_ci95)
    assert here.target is not None
    blind = replace(here, target=replace(here.target, hidden_labels=(domains.UNLABELLED,) * 24))
    unscored = adaptation.adapt(blind, arms=("full",), epochs=1.0)
    assert unscored.target_accuracy is None
    assert unscored.runs[0].information == adapted.runs[0].information


def test_target_statistics_are_those_of_the_target(folders: tuple[Path, Path]) -> None:
    """Only BatchNorm's running statistics change, to what the target's images give; momenta and modes are put back."""
    here = session(*folders)
    arm = adaptation_arm.train(here, make_candidate(here, "full", {"epochs": 1.0}), 0)[0]
    plan, trained = arm.plan, arm.network
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    momenta = [m.momentum for m in trained.modules() if hasattr(m, "momentum")]
    adaptation_arm.use_target(here, plan, trained)
    differ = {k for k, v in trained.state_dict().items() if not torch.equal(v, before[k])}
    assert differ
    assert all(k.endswith(("running_mean", "running_var", "num_batches_tracked")) for k in differ)
    assert [m.momentum for m in trained.modules() if hasattr(m, "momentum")] == momenta
    assert not any(m.training for m in trained.modules())


def test_faults_are_told(folders: tuple[Path, Path]) -> None:
    """No target, or an arm that trains nothing, is the caller's fault."""
    with pytest.raises(InputError, match="--target DIR"):
        adaptation.adapt(session(folders[0], None))
    with pytest.raises(InputError, match="does not apply"):
        make_candidate(session(folders[0], None), "dann")
    with pytest.raises(TrialError, match="larger --budget"):
        adaptation.adapt(session(*folders), deadline=0.0)
    with pytest.raises(InputError, match="cannot adapt"):
        adaptation.adapt(session(*folders), arms=("ridge",))


def test_the_command_adapts(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`SOURCE --target DIR` answers as JSON, leaves a model and the answer in --out, and predict reads it."""
    work = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--trials", "1", "--quiet"]
    source, aim = map(str, folders)
    out = str(tmp_path / "run")
    assert run([source, "--target", aim, *work, "--out", out, "--strategy", "full", "--strategy", "mcc", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["chosen"] in {"full", "full + target statistics", "mcc"}
    assert printed == json.loads((tmp_path / "run" / "adaptation.json").read_text())
    assert run(["predict", out, str(folders[1] / "class 1"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 8
    assert run([source, "--target", "no/such", *work]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert run([source, "--target", aim, *work, "--out", out]) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_budget_that_is_too_short_is_named_at_the_start(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hopelessly short: exit code 2 before any training, and no run directory; perhaps too short: a note, once."""
    notes: list[str] = []
    with pytest.raises(InputError, match=r"too short for --target: one epoch .* Try --budget \d+m"):
        adaptation_run.check_budget(1000.0, 20.0, 3, notes.append)
    adaptation_run.check_budget(60.0, 30.0, 3, notes.append)
    adaptation_run.check_budget(10.0, 30.0, 3, notes.append)
    assert len(notes) == 1
    assert "may not end in time" in notes[0]
    work = ["--backbone", "pocket", "--size", "1024", "--offline", "--threads", "1"]
    out = tmp_path / "run"
    assert run([str(folders[0]), "--target", str(folders[1]), *work, "--budget", "1s", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "too short for --target" in error
    assert not out.exists()


def test_python_adapts(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """advisor.adapt returns what the command prints, and advise() points to it."""
    options = {"backbones": ("pocket",), "size_px": 32, "offline": True, "threads": 1}
    done = advisor.adapt(*folders, trials=1, out=tmp_path / "run", strategies=["full"], **options)
    assert done.adaptation.chosen in {"full", "full + target statistics"}
    assert (done.folder / "recipe.yaml").is_file()
    with pytest.raises(InputError, match=r"advisor\.adapt"):
        advisor.advise(folders[0], target=folders[1])


def test_the_main_job_says_what_adaptation_needs(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Naming an adapting strategy without a target ends in one line that says which option is missing."""
    work = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--trials", "1", "--quiet"]
    assert run([str(folders[0]), *work, "--strategy", "mcc", "--out", str(tmp_path / "run")]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error:")
    assert "--target DIR" in last


@pytest.mark.parametrize("arms", [("full",), ("dann",)])
def test_the_recipe_of_an_adaptation_gives_the_same_model_again(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], arms: tuple[str, ...]
) -> None:
    """Same weights to the bit and the same score on the target; moved or other images are told."""
    source, aim = tmp_path / "source", tmp_path / "aim"
    shutil.copytree(folders[0], source)
    shutil.copytree(folders[1], aim)
    work = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--trials", "2", "--quiet"]
    out = str(tmp_path / "run")
    named = [word for arm in arms for word in ("--strategy", arm)]
    assert run([str(source), "--target", str(aim), *work, "--seed", "5", "--out", out, *named]) == 0
    recipe = recipe_file.read(out)
    assert recipe.target is not None
    assert recipe.outcome is not None
    assert recipe.outcome.test is not None
    assert recipe.outcome.test.n == 24
    capsys.readouterr()
    assert run(["rerun", out, "--verify", "--offline", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["verified"].startswith("identical")
    assert again["result"]["measured_on"] == "target"
    aim.rename(tmp_path / "moved")
    assert run(["rerun", out, "--offline", "--quiet"]) == 2
    assert "target.path_hint" in capsys.readouterr().err
    assert run(["rerun", out, "--offline", "--quiet", "--target", str(tmp_path / "moved"), "--verify"]) == 0
    (tmp_path / "moved").rename(aim)
    next(p for p in sorted(aim.rglob("*.jpg")) if p.name != "broken.jpg").unlink()
    assert run(["rerun", out, "--offline", "--quiet"]) == 2
    assert "target.fingerprint" in capsys.readouterr().err
    before = (tmp_path / "run" / "recipe.yaml").read_bytes()
    assert run(["resume", out]) == 2  # it would search there, and write another recipe over this one
    assert "an adapted run (--target" in capsys.readouterr().err
    assert (tmp_path / "run" / "recipe.yaml").read_bytes() == before
    assert run(["rerun", out, "--offline", "--devices", "2"]) == 2
    assert "--gpus" in capsys.readouterr().err


def test_a_target_without_labels_is_verified_on_the_source(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe then states the held-out source's score, and a rerun compares that."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(folders[1].rglob("0*.jpg"))):
        shutil.copy(path, flat / f"{number}.jpg")
    work = ["--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--trials", "1", "--quiet"]
    out = str(tmp_path / "run")
    assert run([str(folders[0]), "--target", str(flat), *work, "--out", out, "--strategy", "full"]) == 0
    capsys.readouterr()
    assert run(["rerun", out, "--verify", "--offline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["measured_on"] == "validation"


def test_every_target_image_counts_once_in_the_statistics(tmp_path: Path) -> None:
    """One white image among many dark ones is its share of the mean, also where the number of images fills no batch."""
    source = write_crops(tmp_path / "source", each=10, side_px=32)
    alone = session(source, None)
    count = alone.resources.compute(alone.backbone).inference_batch + 1
    aim = tmp_path / "target"
    aim.mkdir()
    for number in range(count):
        colour = (255, 255, 255) if number == 0 else (0, number % 16, number // 16)
        Image.new("RGB", (32, 32), colour).save(aim / f"{number:03}.png")
    here = session(source, aim)
    arm = adaptation_arm.train(here, make_candidate(here, "full", {"epochs": 1.0}), 0)[0]
    norm = next(m for m in arm.network.body.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean((2, 3))))
    adaptation_arm.use_target(here, arm.plan, arm.network)
    means_NC = torch.unique(torch.cat(seen), dim=0)  # copies of an image would be here once
    assert len(means_NC) == count
    assert norm.running_mean is not None
    spread = means_NC.max(0).values - means_NC.min(0).values
    assert bool(((norm.running_mean - means_NC.mean(0)).abs() <= 0.01 * spread).all())
