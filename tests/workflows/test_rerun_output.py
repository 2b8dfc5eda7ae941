"""`tl-advise rerun --out`: what it leaves is a whole run, which every other command takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import commands
import pytest
from photos import write_crops

import advisor
from advisor import cli
from advisor.errors import OutputError
from advisor.runtime.run_dir import RunDir
from advisor.workflows import rerun_output

FILES = (
    "recipe.yaml", "result.json", "report.html", "README.md", "splits.csv", "model.safetensors", "model.json",
    "unlike.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a head on a small network."""
    folder = tmp_path_factory.mktemp("rerun")
    data = write_crops(folder / "crops", classes=3, each=16, side_px=32)
    call = ["advise", str(data), "--out", str(folder / "run"), "--trials", "1", "--backbone", "pocket", "--size", "32"]
    assert cli.run([*call, "--strategy", "ridge", "--threads", "1", "--offline", "--quiet"]) == 0
    return folder / "run"


@pytest.mark.parametrize("is_other", [False, True], ids=["own data", "other data"])
def test_a_rerun_leaves_a_run_that_every_command_takes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_other: bool
) -> None:
    """Its files are those of a run, its recipe is that of the data used, and a rerun of it has the same weights."""
    data = write_crops(tmp_path / "other", classes=2, each=20, side_px=32, seed=1) if is_other else run.parent / "crops"
    out = tmp_path / "again"
    given = ["--data", str(data)] if is_other else []
    capsys.readouterr()
    assert cli.run(["rerun", str(run), *given, "--out", str(out), "--offline", "--quiet", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["result"]["runs"][0]
    assert [name for name in FILES if not (out / name).is_file()] == []
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    before = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert result["status"] == "final"
    assert result["test"]["accuracy"] == first["accuracy"]
    assert result["baseline"] is result["gain"] is result["limits"] is None
    assert (result["dataset"]["fingerprint"] == before["dataset"]["fingerprint"]) is not is_other
    recipe = (out / "recipe.yaml").read_text(encoding="utf-8")
    assert result["dataset"]["fingerprint"] in recipe
    assert first["weights_sha256"] in recipe
    photo = str(next(data.glob("*/*.jpg")))
    for call in (
        ["rerun", str(out), "--verify", "--offline", "--quiet", "--block", "torchvision"],
        ["show", str(out)],
        ["runs", str(out), str(run)],
        ["predict", str(out), photo],
        ["evaluate", str(out), str(data)],
        ["export", str(out), "--out", str(tmp_path / "exported")],
    ):
        assert cli.run(call) == 0, (call, capsys.readouterr())
    assert (tmp_path / "exported").exists()
    assert cli.run(["rerun", str(out), "--block", "pocket"]) == 2
    assert "--block or TL_ADVISE_PLUGINS leaves out its plugins pocket." in capsys.readouterr().err


def test_a_verification_that_fails_prints_the_scores_and_why(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 3; JSON holds both numbers and the reason, and without --json the scores are printed as well."""
    text = (run / "recipe.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\n  weights_sha256: \w+", f"\n  weights_sha256: {'a' * 64}", text)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text, encoding="utf-8")
    call = ["rerun", str(recipe), "--verify", "--data", str(run.parent / "crops"), "--offline", "--quiet"]
    capsys.readouterr()
    assert cli.run([*call, "--json"]) == 3
    printed = capsys.readouterr()
    reply = json.loads(printed.out)
    assert reply["verified"] is None
    assert reply["error"].startswith("the same kind of machine produced other weights")
    assert reply["error"] in printed.err
    assert reply["result"]["expected"] == reply["result"]["runs"][0]["accuracy"]
    assert cli.run(call) == 3
    assert "the recipe states" in capsys.readouterr().out


def test_a_recipe_without_names_for_its_arithmetic_keeps_that_of_its_time(run: Path, tmp_path: Path) -> None:
    """Recipes of earlier versions: batches of 64, BatchNorm as it is, numbers chosen as then; the new recipe says so."""
    text = (run / "recipe.yaml").read_text(encoding="utf-8")
    text, count = re.subn(r"\n  procedure: 2\n", "\n", text)
    assert count == 1
    earlier, count = re.subn(r", inference_batch: \d+, fold_batch_norm: \w+", "", text)
    assert count == 1
    (tmp_path / "recipe.yaml").write_text(earlier, encoding="utf-8")
    call = [
        "rerun",
        str(tmp_path / "recipe.yaml"),
        "--data",
        str(run.parent / "crops"),
        "--out",
        str(tmp_path / "again"),
    ]
    assert cli.run([*call, "--offline", "--quiet"]) == 0
    written = (tmp_path / "again" / "recipe.yaml").read_text(encoding="utf-8")
    assert "inference_batch: 64, fold_batch_norm: false" in written
    assert "\n  procedure: 1\n" in written


def test_without_a_test_set_the_run_has_a_validation_score_alone(tmp_path: Path) -> None:
    """The Python call leaves the same files, with the reason why there is no test score; it reruns to the same weights."""
    data = write_crops(tmp_path / "crops", classes=2, each=12, side_px=32)
    call = [
        "advise",
        str(data),
        "--out",
        str(tmp_path / "run"),
        "--trials",
        "1",
        "--backbone",
        "pocket",
        "--size",
        "32",
    ]
    call += ["--strategy", "ridge", "--test-split", "none", "--threads", "1", "--offline", "--quiet"]
    assert cli.run(call) == 0
    again = advisor.rerun(tmp_path / "run", out=tmp_path / "again", offline=True)
    assert again.identical
    result = json.loads((tmp_path / "again" / "result.json").read_text(encoding="utf-8"))
    assert result["test"] is None
    assert "no test set" in result["test_reason"]
    assert [name for name in FILES if not (tmp_path / "again" / name).is_file()] == []
    assert cli.run(["rerun", str(tmp_path / "again"), "--verify", "--offline", "--quiet"]) == 0


def test_a_folder_of_the_current_one_takes_the_output(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --data the data are those of the recipe, not the current folder; no run is overwritten."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(["rerun", str(run), "--out", "again", "--offline", "--quiet"]) == 0
    assert (tmp_path / "again" / "result.json").is_file()
    with pytest.raises(OutputError, match="exists and is not empty"):
        advisor.rerun(run, out="again", offline=True)
    assert cli.run(["rerun", str(run), "--out", str(run.parent / "crops" / "run"), "--offline", "--quiet"]) == 2
    assert "inside the data set" in capsys.readouterr().err


def test_verifying_on_other_data_is_refused_before_training(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names the data, not the recipe, and no model was trained for it; without --verify the call is right."""
    data = write_crops(tmp_path / "other", classes=2, each=20, side_px=32, seed=1)
    call = ["rerun", str(run), "--data", str(data), "--offline", "--quiet"]
    assert cli.run([*call, "--verify", "--out", str(tmp_path / "again")]) == 3
    assert "--verify needs the recipe's own data. Omit --data or --verify." in capsys.readouterr().err
    assert not (tmp_path / "again" / "model.safetensors").exists()
    assert cli.run(call) == 0


def test_verifying_a_recipe_without_a_score_is_refused_before_training(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recipe whose outcome was deleted has nothing to agree with."""
    text = (run / "recipe.yaml").read_text(encoding="utf-8")
    cut = re.sub(r"(?m)^outcome:\n(?:[ ].*\n)*", "outcome: null\n", text)
    (tmp_path / "recipe.yaml").write_text(cut, encoding="utf-8")
    call = ["rerun", str(tmp_path / "recipe.yaml"), "--data", str(run.parent / "crops"), "--offline", "--quiet"]
    assert cli.run([*call, "--verify", "--out", str(tmp_path / "again")]) == 3
    assert "no score to compare with" in capsys.readouterr().err
    assert not (tmp_path / "again" / "model.safetensors").exists()


@pytest.mark.parametrize("command", ["rerun", "distill", "compare", "advise"])
def test_two_commands_never_write_into_one_folder(command: str, run: Path, tmp_path: Path) -> None:
    """The second is refused while the first one fills the folder, and takes nothing from it."""
    crops = str(run.parent / "crops")
    named = {"rerun": [str(run)], "distill": [str(run)], "compare": [crops]}.get(command, [crops, "--target", crops])
    data = ["--data", crops] if command in ("rerun", "distill") else ["--backbone", "pocket", "--size", "32"]
    out = tmp_path / "out"
    with RunDir.create(out, data=tmp_path / "data").filled():
        refused = commands.run(command, *named, *data, "--out", str(out), "--offline", "--quiet", code=2).stderr
        assert "another process works on this run" in " ".join(refused.split())
        assert out.is_dir()


def test_a_rerun_that_is_stopped_leaves_its_folder_free(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the training, before the files of the run: the same command can be repeated."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    call = ("rerun", str(run), "--out", str(tmp_path / "out"), "--offline", "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(rerun_output, "index", stop)
        assert commands.run(*call, code=130).stderr.strip() == "stopped"
    assert not (tmp_path / "out").exists()
    commands.run(*call)
