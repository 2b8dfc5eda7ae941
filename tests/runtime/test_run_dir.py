"""The run directory: whole files at any instant, one owner, never inside the data."""

from __future__ import annotations

import datetime
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.data.tables import corrections
from advisor.errors import BackboneError, CheckError, InputError, OutputError, WorkerLostError
from advisor.records import Settings
from advisor.reporting import stored_results
from advisor.runtime import run_dir
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.runtime.run_dir import RunDir, default_folder
from advisor.tracking import relay
from advisor.tracking.trackers import tensorboard
from advisor.tuning import experience
from advisor.tuning.faults import left_out
from advisor.tuning.limits import fits_limits


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty folder that stands for a data set."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_a_run_never_lies_inside_the_data(data: Path) -> None:
    """A run directory in the data set would become a class of it."""
    with pytest.raises(OutputError, match="inside the data set"):
        RunDir.create(data / "runs" / "one", data=data)


def test_a_used_directory_is_refused(data: Path, tmp_path: Path) -> None:
    """What lies there is never mixed with a new run; the message says how to go on with an old one."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"not empty.*remove this folder"):
        RunDir.create(folder, data=data)
    (folder / "run.json").touch()
    with pytest.raises(OutputError, match=r"not empty.*tl-advise resume"):
        RunDir.create(folder, data=data)


def test_a_command_to_be_copied_is_quoted(data: Path, tmp_path: Path) -> None:
    """A run directory with a space in its name is one word of the command, in every message that names one."""
    folder = tmp_path / "my run"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    with pytest.raises(OutputError, match=re.escape(f"`tl-advise resume '{folder}'`")):
        RunDir.create(folder, data=data)
    with pytest.raises(InputError, match=re.escape(f"`tl-advise resume '{folder}'`")):
        stored_results.read(folder)
    root = Path(run_dir.__file__).parents[1]
    plain = re.compile(r"tl-advise (?:resume|rerun|distill|predict|export|show) \{(?!shlex|quoted|run\}|FILE\})")
    assert [file.name for file in root.rglob("*.py") if plain.search(file.read_text(encoding="utf-8"))] == []


def test_a_place_that_cannot_be_written_is_told_at_the_start(data: Path, tmp_path: Path) -> None:
    """A file in the way is one line, before any work."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        RunDir.create(tmp_path / "file" / "run", data=data)


def test_records_come_back_as_they_were(data: Path, tmp_path: Path) -> None:
    """What is written to the directory is read back equal; what is not there is None."""
    run = RunDir.create(tmp_path / "run", data=data)
    settings = Settings(data="x", budget_s=None, trials=3, backbones=("a",))
    run.write("run.json", settings)
    assert RunDir.open(run.path).read("run.json", Settings) == settings
    assert run.read("nothing.json", Settings) is None


def test_a_cut_log_line_does_not_lose_the_time_spent(data: Path, tmp_path: Path) -> None:
    """A kill in the middle of a line leaves the lines before it readable."""
    run = RunDir.create(tmp_path / "run", data=data)
    run.log("start", at_s=1.0)
    run.log("trial", at_s=12.5, number=0)
    with open(run.log_path, "a", encoding="utf-8") as file:
        file.write('[]\n{"at_s": null}\n{"at_s": NaN}\n{"at_s": 1e999}\n')
    with open(run.log_path, "a", encoding="utf-8") as file:
        file.write('{"event": "tri')
    assert run.used_s() == 12.5


def test_the_time_of_a_trial_that_was_cut_off_counts(data: Path, tmp_path: Path) -> None:
    """A checkpoint that is 40 s younger than the log's last line shows 40 s that no line tells."""
    run = RunDir.create(tmp_path / "run", data=data)
    run.log("trial", at_s=12.5, number=0)
    (run.trials / "00001.ckpt").touch()
    os.utime(run.log_path, (1000.0, 1000.0))
    os.utime(run.trials / "00001.ckpt", (1040.0, 1040.0))
    assert run.used_s() == pytest.approx(52.5)
    os.utime(run.trials / "00001.ckpt", (900.0, 900.0))
    assert run.used_s() == pytest.approx(12.5)


def test_two_processes_never_work_on_one_run(data: Path, tmp_path: Path) -> None:
    """The second is told, and the lock goes with the process that held it."""
    run = RunDir.create(tmp_path / "run", data=data)
    run.write("run.json", Settings(data="x"))
    code = (
        "import sys; from pathlib import Path; from advisor.runtime.run_dir import RunDir\n"
        "with RunDir.open(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process"), run.locked():
            pass
        other.kill()
    with run.locked():
        assert run.path.is_dir()


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """Where the new text does not fit, the old one stays and the message says what to do."""
    path = tmp_path / "result.json"
    write_atomically(path, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_atomically(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_default_names_carry_the_data_and_the_time(tmp_path: Path) -> None:
    """A second run within the same second gets a number."""
    now = datetime.datetime(2026, 1, 2, 3, 4, 5)
    path = default_folder(Path("some/My photos"), now, tmp_path)
    assert path == tmp_path / "tl-advise-runs" / "My-photos-20260102-030405"
    path.mkdir(parents=True)
    assert default_folder(Path("some/My photos"), now, tmp_path).name == "My-photos-20260102-030405-2"
    assert default_folder(Path("é" * 120), now, tmp_path).name == f"{'é' * 50}-20260102-030405"


def test_json_holds_no_number_that_json_does_not_know() -> None:
    """nan and infinities become null, also deep inside."""
    assert (
        to_json({"a": float("nan"), "b": [float("inf"), 1.0]})
        == '{\n  "a": null,\n  "b": [\n    null,\n    1.0\n  ]\n}\n'
    )


@pytest.mark.parametrize("leftovers", [[], ["trials"], ["lock", "trials"], ["lock", "trials", ".run.json.77.tmp"]])
def test_a_run_killed_before_its_first_file_can_be_started_again(
    data: Path, tmp_path: Path, leftovers: list[str]
) -> None:
    """Without run.json there is nothing to resume, so the same --out must be taken again."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in leftovers:
        (folder / name).mkdir() if name == "trials" else (folder / name).touch()
    assert RunDir.create(folder, data=data).path == folder


def test_a_final_result_is_in_place_only_after_everything_else(data: Path, tmp_path: Path) -> None:
    """A resume takes a final result as the end: whatever instant a kill hits, recipe and model must be there before."""
    run = RunDir.create(tmp_path / "run", data=data)
    staged = run.staging("final")
    for name in ("model.safetensors", "model.json", "recipe.yaml", "report.html", "README.md"):
        (staged / name).write_text("new")
    (staged / "result.json").mkdir()  # a folder cannot replace the file below: the move stops right there
    run.result.write_text("old")
    with pytest.raises(OSError, match=r"result\.json"):
        run.adopt(staged)
    assert run.result.read_text() == "old"
    assert {p.name for p in run.path.iterdir() if p.is_file()} >= {"model.safetensors", "recipe.yaml", "report.html"}
    assert run.recipe.read_text() == "new"


def test_a_run_that_was_removed_is_said_to_be_gone(data: Path, tmp_path: Path) -> None:
    """A file that is missing in it is no damaged run then; in a run that is there, the error stays what it was."""
    run = RunDir.create(tmp_path / "run", data=data)
    run.write("run.json", Settings(data=str(data)))
    missing = InputError("trials/00000.npz is missing.", hint="Copy the whole run again.")
    with pytest.raises(InputError) as caught, run.resumable():
        raise missing
    assert caught.value is missing
    shutil.rmtree(run.path)
    (run.path / "trials").mkdir(parents=True)  # as a worker does that writes once more
    with pytest.raises(OutputError, match="were removed meanwhile") as gone, run.resumable():
        raise missing
    assert gone.value.hint == "The run is no longer there: start it again."


def test_what_never_began_leaves_nothing(data: Path, tmp_path: Path) -> None:
    """Whatever was written before the first probe goes, the lock too while it is held; what is not the run's stays."""
    early = (corrections.COPY, left_out.FILE, fits_limits.FILE, experience.WRITTEN, relay.IDENTITIES)
    run = RunDir.create(tmp_path / "run", data=data)
    with run.begun():
        for name in ("run.json", "profile.json", *early):
            run.write(name, {})
        (run.path / tensorboard.FOLDER / "run").mkdir(parents=True)
        run.forget()
    assert not run.path.exists()
    again = RunDir.create(tmp_path / "run", data=data)
    with again.begun():
        (again.path / "thesis.tex").touch()
        again.forget()
    assert [file.name for file in again.path.iterdir()] == ["thesis.tex"]


def test_a_run_begun_meanwhile_is_refused(data: Path, tmp_path: Path) -> None:
    """Another process may have begun and left between the look into the folder and the lock."""
    run, other = (RunDir.create(tmp_path / "run", data=data) for _ in range(2))
    with other.begun():
        other.write("run.json", Settings(data="x"))
    with pytest.raises(OutputError, match=r"not empty.*tl-advise resume"), run.begun():
        pass
    assert (run.path / "run.json").is_file()


def test_what_killed_processes_left_is_gone_when_the_run_goes_on(data: Path, tmp_path: Path) -> None:
    """Half a model or a checkpoint is as large as a whole one: kills would fill the disk. Files of others stay."""
    run = RunDir.create(tmp_path / "run", data=data)
    code = (
        "import os, sys; from pathlib import Path; from advisor.runtime.atomic_file import replacing\n"
        "with replacing(Path(sys.argv[1])) as new: new.write_text('half'); os._exit(9)"
    )
    (run.trials / "00001" / "mixed").mkdir(parents=True)
    for name in ("model.safetensors", "trials/00001.pt", "trials/00001/mixed/model.json"):
        assert subprocess.run([sys.executable, "-c", code, str(run.path / name)]).returncode == 9
    run.staging("best")
    (run.trials / "00001" / ".tmpdh7nLl").touch()  # where safetensors writes
    (run.path / ".notes.txt").touch()
    with run.locked():
        left = {str(path.relative_to(run.path)) for path in run.path.rglob("*")}
    assert left == {"lock", "trials", "trials/00001", "trials/00001/mixed", ".notes.txt"}


@pytest.mark.parametrize(
    "error", [WorkerLostError("killed"), BackboneError("raised"), MemoryError(), KeyboardInterrupt()]
)
def test_a_folder_whose_command_failed_is_free_again(data: Path, tmp_path: Path, error: BaseException) -> None:
    """Whatever ended it, the same call can be repeated; only what a check refused stays, since it is whole."""
    out = tmp_path / "out"

    def fill(name: str, ending: BaseException) -> None:
        with RunDir.create(out, data=data).filled():
            (out / name).touch()
            raise ending

    with pytest.raises(type(error)):
        fill("splits.csv", error)
    assert not out.exists()
    with pytest.raises(CheckError):
        fill("recipe.yaml", CheckError("another score"))
    assert (out / "recipe.yaml").exists()
