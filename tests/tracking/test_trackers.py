"""Trackers receive what a run is and what came of it, nothing else; and no tracker can harm a run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import results
from photos import write_crops

import advisor
from advisor.cli import run as run_command
from advisor.errors import InputError
from advisor.records import Settings
from advisor.reporting import wording
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tracking import relay, tracker, trackers, values

TRIALS = results.trials()[6:10]  # the last one failed
TRAINED = next(trial for trial in TRIALS if trial.curve.step)
SECRET = "/home/somebody/private-photos"


class Notes(Listener):
    """Keeps what a person would be told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep a note."""
        self.notes.append(text)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, importing a tracker alone can take longer than a run would wait."""
    monkeypatch.setattr(relay, "END_S", 240.0)


@pytest.fixture(name="rundir")
def _rundir(tmp_path: Path) -> RunDir:
    """A run directory with the files of a finished run."""
    run = RunDir.create(tmp_path / "run 1", data=tmp_path / "data")
    for name in values.ARTEFACTS:
        (run.path / name).write_text(f"content of {name}")
    return run


@pytest.fixture(name="mlflow_store")
def _mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A local database for MLflow, as it creates one by default."""
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def log(names: tuple[str, ...], rundir: RunDir, *, ends: bool = True) -> Notes:
    """Send a whole search to trackers; return the notes."""
    notes = Notes()
    settings = Settings(data=SECRET, command=f"tl-advise {SECRET}", log=names, offline=True, trials=24, seed=7)
    with relay.follow(notes, settings, rundir) as listener:
        listener.profile(results.profile(), results.final().regime)
        for trial in TRIALS:
            listener.trial(trial, None, 60.0)
        if ends:
            listener.finished(results.final())
    return notes


def until_written(folder: Path, text: bytes) -> bytes:
    """Return what the client stored once it holds `text`: its own process writes the last records after `finish` returned."""
    for _ in range(600):
        stored = b"".join(path.read_bytes() for path in folder.rglob("*.wandb"))
        if text in stored:
            return stored
        time.sleep(0.1)
    raise AssertionError(f"{text!r} was not written: {len(stored)} bytes are there")


def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, source: str) -> None:
    """Add a tracker: one new file."""
    (tmp_path / "more").mkdir(exist_ok=True)
    (tmp_path / "more" / f"{name}.py").write_text(source)
    monkeypatch.setattr(trackers, "__path__", [*trackers.__path__, str(tmp_path / "more")])


# ---- TensorBoard -------------------------------------------------------------------------------------------------


def test_tensorboard_reads_curves_scores_and_verdict(rundir: RunDir) -> None:
    """TensorBoard's own reader finds every trial's curve, the test score with its interval, and the verdict."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    notes = log(("tensorboard",), rundir)
    folder = rundir.path / "tensorboard"
    assert notes.notes == [f"logged to tensorboard: tensorboard --logdir '{folder}'"]
    trial = TRAINED
    events = EventAccumulator(str(folder / wording.trial(trial.number).replace(" ", "_")))
    events.Reload()
    losses = events.Scalars("validation/log_loss")
    assert [e.step for e in losses] == list(trial.curve.step)
    assert [e.value for e in losses[:3]] == pytest.approx(trial.curve.log_loss[:3], rel=1e-6)
    run = EventAccumulator(str(folder / "run"))
    run.Reload()
    test = results.final().test
    assert test is not None
    assert run.Scalars("result/test/accuracy")[0].value == pytest.approx(test.accuracy, rel=1e-6)
    assert run.Scalars("result/test/accuracy_low95")[0].value == pytest.approx(test.ci95[0], rel=1e-6)
    text = run.Tensors("verdict/text_summary" if "verdict/text_summary" in run.Tags()["tensors"] else "verdict")
    assert results.final().best.backbone.encode() in text[0].tensor_proto.string_val[0]


def test_tensorboard_files_hold_no_path_of_the_data(rundir: RunDir) -> None:
    """Neither the folder of the data nor the command line is written."""
    pytest.importorskip("tensorboard")
    log(("tensorboard",), rundir)
    written = b"".join(p.read_bytes() for p in (rundir.path / "tensorboard").rglob("*") if p.is_file())
    assert b"lr" in written
    assert SECRET.encode() not in written


# ---- MLflow ------------------------------------------------------------------------------------------------------


def test_mlflow_receives_parameters_scores_and_files(rundir: RunDir, mlflow_store: str) -> None:
    """Options, data, scores with intervals, verdict, files, a nested run per trial; nothing about person or machine."""
    import mlflow

    notes = log(("mlflow",), rundir)
    identity = json.loads((rundir.path / relay.IDENTITIES).read_text())["mlflow"]
    assert notes.notes == [f"logged to mlflow: run {identity} in {mlflow_store}"]
    client = mlflow.MlflowClient()
    stored = client.get_run(identity)
    test = results.final().test
    assert test is not None
    assert stored.info.status == "FINISHED"
    assert stored.data.params["seed"] == "7"
    assert stored.data.params["data.fingerprint"] == results.profile().fingerprint
    assert stored.data.metrics["test/accuracy"] == pytest.approx(test.accuracy)
    assert stored.data.metrics["test/accuracy_high95"] == pytest.approx(test.ci95[1])
    assert results.final().best.backbone in stored.data.tags["mlflow.note.content"]
    assert {f.path for f in client.list_artifacts(identity)} == set(values.ARTEFACTS)
    nested = client.search_runs([stored.info.experiment_id], f"tags.mlflow.parentRunId = '{identity}'")
    assert len(nested) == len(TRIALS)
    by_name = {run.info.run_name: run for run in nested}
    trial = TRAINED
    curve = client.get_metric_history(by_name[wording.trial(trial.number)].info.run_id, "train/loss")
    assert [m.value for m in curve] == pytest.approx(trial.curve.train_loss)
    assert by_name["trial 9"].info.status == "FAILED"
    tags = {name for run in (stored, *nested) for name in run.data.tags}
    assert tags <= {"mlflow.runName", "mlflow.parentRunId", "mlflow.note.content"}  # no user, source file or git commit
    texts = [str(v) for run in (stored, *nested) for v in (*run.data.params.values(), *run.data.tags.values())]
    assert not [text for text in texts if SECRET in text]


def test_a_file_of_costs_is_not_named() -> None:
    """The objective is sent without the path of its file."""
    options = values.options(Settings(data="x", objective="cost:/home/me/costs.csv"))
    assert options["objective"] == "cost"


def test_a_resumed_run_continues_its_mlflow_run(rundir: RunDir, mlflow_store: str) -> None:
    """A run that was stopped has the state KILLED; the resumed one continues it."""
    import mlflow

    log(("mlflow",), rundir, ends=False)
    first = json.loads((rundir.path / relay.IDENTITIES).read_text())["mlflow"]
    assert mlflow.MlflowClient().get_run(first).info.status == "KILLED"
    notes = log(("mlflow",), rundir)
    assert "logged to mlflow" in notes.notes[0]
    assert json.loads((rundir.path / relay.IDENTITIES).read_text())["mlflow"] == first
    assert mlflow.MlflowClient().get_run(first).info.status == "FINISHED"


# ---- Weights & Biases --------------------------------------------------------------------------------------------


def test_wandb_writes_an_offline_run(rundir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, the run with scores, verdict and curves is in the run directory, without machine, code or git."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    notes = log(("wandb",), rundir)
    assert len(notes.notes) == 1
    assert "`wandb sync` uploads it" in notes.notes[0]
    folders = list((rundir.path / "wandb").glob("offline-run-*"))
    assert len(folders) == 1
    stored = until_written(folders[0], b"test/accuracy_low95")
    assert results.profile().fingerprint.encode() in stored
    assert SECRET.encode() not in stored
    names = {p.name for p in folders[0].rglob("*") if p.is_file()}
    assert not names & {"wandb-metadata.json", "requirements.txt", "output.log", "diff.patch"}


# ---- any tracker -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["import nothing_of_this_name", "raise RuntimeError('no server')", "raise SystemExit(3)"]
)
def test_a_tracker_that_fails_costs_one_note(
    where: str, rundir: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever it raises, and wherever: the run goes on, and one note says so."""
    install(monkeypatch, tmp_path, "failing", f"PACKAGE = 'json'\ndef start(run, identity):\n    {where}\n")
    notes = log(("failing",), rundir)
    assert len(notes.notes) == 1
    assert notes.notes[0].startswith("--log failing failed and is not used any more: ")


def test_a_tracker_that_hangs_is_left_behind(rundir: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tracker whose server never answers holds nobody up for longer than the limit."""
    source = "import time\nPACKAGE = 'json'\ndef start(run, identity):\n    time.sleep(60)\n"
    install(monkeypatch, tmp_path, "hanging", source)
    monkeypatch.setattr(relay, "END_S", 0.2)
    notes = log(("hanging",), rundir)
    assert len(notes.notes) == 1
    assert "did not respond" in notes.notes[0]


def test_without_a_tracker_nothing_changes(rundir: RunDir) -> None:
    """The listener itself is used, and no thread is started."""
    before = threading.active_count()
    shown = Notes()
    with relay.follow(shown, Settings(data="x"), rundir) as listener:
        assert listener is shown
        assert threading.active_count() == before


def test_an_unknown_tracker_is_refused_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The call is at fault: exit code 2, the names that there are, and no run directory."""
    (tmp_path / "data").mkdir()
    code = run_command(["advise", str(tmp_path / "data"), "--log", "neptune", "--out", str(tmp_path / "run")])
    assert code == 2
    assert "Choose from mlflow, tensorboard, wandb." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, one line says how to install it."""
    real: Callable[[str], object] = tracker.find_spec
    monkeypatch.setattr(tracker, "find_spec", lambda name: None if name == "mlflow" else real(name))
    with pytest.raises(InputError, match=r"pip install 'tl-advise\[mlflow\]'"):
        tracker.check(["mlflow"])


def test_a_real_run_is_logged(tmp_path: Path) -> None:
    """A run with --log tensorboard leaves the event files of its trials and of the run."""
    pytest.importorskip("tensorboard")
    write_crops(tmp_path / "photos", classes=2, each=12)
    advisor.advise(
        tmp_path / "photos", trials=1, out=tmp_path / "run", backbones=["pocket"], strategies=["ridge"], size=32,
        threads=1, offline=True, log=["tensorboard"],
    )  # fmt: skip
    assert "run" in {p.name for p in (tmp_path / "run" / "tensorboard").iterdir()}
    assert [p for p in (tmp_path / "run" / "tensorboard").iterdir() if p.name.startswith(("probe", "trial"))]
