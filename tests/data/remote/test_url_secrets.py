"""What a URL hides from those who read a run: user, password and query, in every file but run.json, and on the screen."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import commands
import pytest
from photos import write_crops
from served_folders import Server

import advisor
from advisor import advice
from advisor.cli import advise as advise_command
from advisor.data import domains
from advisor.data.remote import urls
from advisor.errors import DatasetError, Interrupted
from advisor.records import Settings, Trial
from advisor.runtime.progress import Listener

Served = tuple[Path, str, type[Server]]
KEY = "Sesame" * 50  # as long as the query of a signed URL
FAST = {"strategies": ("logistic",), "backbones": ("pocket",), "size_px": 32, "offline": False, "threads": 1}


class _Interrupting(Listener):
    """Stops the run after its first trial, as a person would."""

    def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
        """Interrupt after a trial; probes have negative numbers."""
        if trial.number >= 0:
            raise KeyboardInterrupt


@pytest.fixture(name="signed")
def _signed(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The signed URL of an archive of crops; the current folder is an empty one."""
    root, address, _ = served
    shutil.make_archive(str(root / "my photos"), "zip", write_crops(tmp_path / "crops", each=10, side_px=32))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return f"{address.replace('//', '//me:Sesame@')}/my%20photos.zip?X-Amz-Signature={KEY}"


def _holding(folder: Path, secret: str) -> set[str]:
    """List the files and folders below a folder whose name or content holds a secret."""
    texts = [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]
    return {p.name for p in (*texts, *(p for p in folder.rglob("*") if secret in p.name))}


def test_no_key_of_a_signed_url_is_in_a_run(signed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is named after the file; nothing but run.json holds the query; the recipe's command can be pasted."""
    advisor.advise(signed, trials=1, **FAST)
    assert "Sesame" not in "".join(capsys.readouterr())
    run = next(Path("tl-advise-runs").iterdir())
    assert run.name.startswith("my-20photos.zip-2")
    assert _holding(Path(), "Sesame") == {"run.json"}
    assert f"tl-advise {urls.public(signed)}" in (run / "recipe.yaml").read_text(encoding="utf-8")
    commands.run("evaluate", str(run), signed, "--out", "evaluated")
    assert not _holding(Path("evaluated"), "Sesame")
    output = commands.run("rerun", str(run), "--verify", "--data", signed, "--out", "again")
    assert "Sesame" not in output.stdout + output.stderr
    assert not _holding(Path("again"), "Sesame")
    exported = commands.run("export", str(run), "--format", "torch", "--data", signed)
    assert "Sesame" not in exported.stdout + exported.stderr


def test_a_comparison_of_a_signed_url_has_a_plain_folder(signed: str) -> None:
    """`compare` names its folder in the same way."""
    call = ("--backbone", "pocket", "--size", "32", "--threads", "1", "--epochs", "1", "--arms", "scratch", "--quiet")
    output = commands.run("compare", signed, *call)
    assert "Sesame" not in output.stdout + output.stderr
    assert not _holding(Path(), "Sesame")


def test_changed_data_behind_a_url_are_named_without_its_key(signed: str, served: Served, tmp_path: Path) -> None:
    """The message that refuses a resume shows the address alone."""
    settings = Settings(data=signed, trials=2, budget_s=None, **FAST)
    with pytest.raises(Interrupted):
        advice.advise(settings, out=tmp_path / "run", listener=_Interrupting())
    next((tmp_path / "crops").rglob("*.jpg")).unlink()
    shutil.make_archive(str(served[0] / "my photos"), "zip", tmp_path / "crops")
    with pytest.raises(DatasetError, match="has changed since this run began") as error:
        advice.resume(tmp_path / "run")
    assert "Sesame" not in f"{error.value.what} {error.value.hint}"


def test_a_command_is_shown_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every URL of a call loses its key, of any store, as a value after "=" too; a database keeps user and options."""
    database = "postgresql://me@host/studies?sslmode=require"
    call = ["advise", "s3://me:Sesame@bucket/photos", "--root=HTTPS://host/a?key=Sesame", "--storage", database]
    monkeypatch.setattr(sys, "argv", ["tl-advise", *call])
    words = shlex.split(advise_command.command_line())
    assert words == ["tl-advise", "advise", "s3://bucket/photos", "--root=https://host/a", "--storage", database]


@pytest.mark.parametrize("option", ["--target", "--source"])
def test_a_url_where_a_folder_belongs_is_refused_without_its_key(option: str) -> None:
    """The refusal of an option that takes no URL does not repeat what the URL hides."""
    with pytest.raises(DatasetError) as error:
        domains.read("https://me:Sesame@host/sketches?sig=Sesame", ["a", "b"], option=option)
    assert error.value.what == f"{option} https://host/sketches: no such folder."


def test_errors_of_other_programs_lose_keys_however_encoded() -> None:
    """What aiohttp or MLflow say names a URL in their own spelling."""
    text = "404, message='Not Found', url='https://me:Sesame@host/p.zip?sig=Ses%2Fame', again http://host:5000/api"
    assert urls.without_keys(text) == "404, message='Not Found', url='https://host/p.zip', again http://host:5000/api"
