"""The run directory: what lies where, written atomically, held by one coordinator at a time.

In: records; out: files of docs/design.md 3.5. At any instant every file is whole: each is written beside its place, flushed to
the disk and renamed. Does NOT cover: what the files mean (`records.recipe`, `reporting.report`), the study's
database (`tuning.trials.study`).
"""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from advisor import errors
from advisor.errors import AdviseError, CheckError, InputError, OutputError
from advisor.runtime import json_records
from advisor.runtime.atomic_file import STAGING, remove_unfinished, takes_nothing, to_json, write_atomically

if TYPE_CHECKING:
    from advisor.records import Result

T = TypeVar("T")
LONGEST_NAME = 100  # bytes of a data set's name in a default folder; file systems take 255 with the time and a number
MIXED = "mixed"  # beside the first fold's model in a trial's folder: the mean of all folds' weights
TABLES = ("suspects.csv", "suspects-test.csv", "predictions.csv", "confusion.csv", "per_class.csv", "trials.csv")
NOVELTY = "unlike.safetensors"  # beside the model: the index of its training images
KEPT = ("recipe.yaml", "model.safetensors", "model.json", NOVELTY, "result.json", "report.html", "README.md", *TABLES)

# What a run writes before its first probe ends: its own files, and those of trackers.
EARLY_FOLDERS = ("trials", "tensorboard", "wandb")
_EARLY = (
    "run.json log.jsonl lock worker.log profile.json splits.csv objective.json speeds.json relabelled.csv left-out.json "
    "graph-costs.json experience.json tracking.json"
)
EARLY_FILES = tuple(_EARLY.split())
# What commands without a search write beside the files of a run.
FILLED = (*KEPT, "adaptation.json", "comparison.json", "comparison.html", "evaluation.json", "teacher.npz")


def trial_name(number: int, repeat: int) -> str:
    """Name a trial's files: its number (probes count below zero), and the repeat where it was scored again."""
    stem = f"probe-{-number:05d}" if number < 0 else f"{number:05d}"
    return f"{stem}-r{repeat}" if repeat else stem


def default_folder(data: Path, now: datetime.datetime, base: Path | None = None) -> Path:
    """Name a new run directory: ./tl-advise-runs/<name>-<time>, numbered where that is taken.

    The name is cut after 100 bytes. Of a URL, give the part that people may see (`data.remote.urls.public_path`).
    """
    plain = data.resolve().name.removesuffix(data.suffix if os.path.isfile(data) else "")
    name = re.sub(r"[^\w.-]+", "-", plain).encode()[:LONGEST_NAME].decode(errors="ignore") or "data"
    stem = (base or Path.cwd()) / "tl-advise-runs" / f"{name}-{now:%Y%m%d-%H%M%S}"
    folder, number = stem, 1
    while folder.exists():
        number += 1
        folder = stem.with_name(f"{stem.name}-{number}")
    return folder


class RunDir:
    """One run's directory. Make a new one with `create`, go on in an old one with `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials = path / "trials"
        self.study = path / "study.db"
        self.candidates = path / "candidates.json"
        self.recipe = path / "recipe.yaml"
        self.result = path / "result.json"
        self.splits = path / "splits.csv"
        self.log_path = path / "log.jsonl"

    @classmethod
    def create(cls, path: Path, *, data: Path) -> RunDir:
        """Make the directory. Raises OutputError where it is not empty, lies inside the data, or cannot be written."""
        resolved, inside = path.resolve(), data.resolve()
        if os.path.isdir(data) and (resolved == inside or inside in resolved.parents):
            raise OutputError(
                f"{path}: lies inside the data set.",
                hint="Choose an --out outside of it, or start from another folder.",
            )
        try:
            if path.exists() and not path.is_dir():
                raise OutputError(f"{path}: is not a folder.", hint="Choose another --out.")
            if path.exists() and _holds_something(path):
                raise _used(path)
            (path / "trials").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"x")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}).", hint="Choose another --out.") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """Open an existing run. Raises InputError where there is none."""
        if not (path / "run.json").is_file():
            hint = errors.nearest_run(path, "run.json", "Give the folder that `tl-advise` printed.")
            raise InputError(f"{path}: no run of tl-advise lies here (no run.json).", hint=hint)
        return cls(path)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Hold a new run before its first file is written, so that of two calls with one --out only one writes.

        Raises InputError where another process holds it, OutputError where one wrote something here since `create`.
        """
        with self.locked():
            if _holds_something(self.path):
                raise _used(self.path)
            yield

    @contextmanager
    def filled(self) -> Iterator[Path]:
        """Hold a new folder that one command fills; where that fails or is stopped, what it wrote goes again.

        Raises what `begun` raises.
        """
        with self.begun():
            try:
                yield self.path
            except (AdviseError, MemoryError, KeyboardInterrupt) as error:
                if not isinstance(error, CheckError):  # whole, though a check of it failed
                    self.forget(FILLED)
                raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, without what killed processes left unfinished; the lock goes with the process.

        Raises InputError where another process holds it, OutputError where nothing can be written there.
        """
        import filelock

        lock = filelock.FileLock(str(self.path / "lock"))
        try:
            self.trials.mkdir(exist_ok=True)  # an invalid call that ended meanwhile may have removed it
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise InputError(
                f"{self.path}: another process works on this run.", hint="Wait for it, or stop it first."
            ) from error
        except OSError as error:
            raise OutputError(
                f"{error.filename or self.path}: cannot be written ({error.strerror or error}).",
                hint="Make the run's folder writable, or copy the run and resume the copy.",
            ) from error
        try:
            remove_unfinished(self.path, ("trials", "ensemble"))
            yield
        finally:
            lock.release()

    @contextmanager
    def resumable(self) -> Iterator[None]:
        """Turn what a full, read-only or vanished disk raises inside into an OutputError that says how to go on."""
        try:
            yield
        except OutputError as error:
            raise OutputError(error.what, hint=self._going_on()) from error
        except OSError as error:
            if not takes_nothing(error) and not self._holds(error.filename):
                raise
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}).", hint=self._going_on()) from error
        except InputError as error:  # what a process writes last may bring the folder back, without what was in it
            if self._is_there():
                raise
            raise OutputError(f"{self.path}: its files were removed meanwhile.", hint=self._going_on()) from error

    def _is_there(self) -> bool:
        return (self.path / "run.json").is_file()

    def _holds(self, name: Any) -> bool:
        return isinstance(name, str) and Path(name).is_relative_to(self.path)

    def _going_on(self) -> str:
        if not self._is_there():
            return "The run is no longer there: start it again."
        return f"Free some space, then `tl-advise resume {shlex.quote(str(self.path))}` continues the run."

    def write(self, name: str, record: Any) -> None:
        """Write a record as indented JSON."""
        write_atomically(self.path / name, to_json(record))

    def read(self, name: str, kind: type[T]) -> T | None:
        """Read a record back; None where it is not there yet."""
        import msgspec

        from advisor.runtime import json_records

        path = self.path / name
        if not path.is_file():
            return None
        try:
            # Names of files need not be UTF-8; they travel as surrogate escapes, which msgspec's own reader refuses.
            plain = json_records.plain(path.read_text(encoding="utf-8", errors="surrogateescape"))
            return json_records.convert(plain, kind)
        except (ValueError, msgspec.MsgspecError) as error:
            raise InputError(
                f"{path}: cannot be read ({error}).", hint="The file was changed by hand? Start a new run."
            ) from error

    def final_result(self) -> Result | None:
        """Return the result of a run that has ended, None while anything is left to do."""
        from advisor.records import Result

        result = self.read(self.result.name, Result)
        return result if result is not None and result.status == "final" else None

    def log(self, event: str, *, at_s: float, **facts: Any) -> None:
        """Append one line to log.jsonl; `at_s` is the time used so far, from which a resume goes on counting."""
        line = json.dumps({"event": event, "at_s": round(at_s, 3), **facts}, default=str)
        with open(self.log_path, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(line + "\n")

    def used_s(self) -> float:
        """Seconds that earlier processes spent on this run: from the log, and what a cut-off trial left after it."""
        if not self.log_path.is_file():
            return 0.0
        used = 0.0
        for line in self.log_path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            try:
                at_s = float(json_records.plain(line)["at_s"])
            except (ValueError, KeyError, TypeError, OverflowError):
                continue  # a full disk can cut a line
            used = max(used, at_s) if math.isfinite(at_s) else used
        return used + self._after_the_log_s()

    def _after_the_log_s(self) -> float:
        """Return how long after the log's last line a trial still wrote checkpoints: that time was spent as well."""
        written = self.log_path.stat().st_mtime
        newest = written
        for path in self.trials.glob("*"):
            with suppress(FileNotFoundError):  # a worker that is just ending renames its last file
                newest = max(newest, path.stat().st_mtime)
        return newest - written

    def forget(self, others: tuple[str, ...] = ()) -> None:
        """Delete what a run that never began has written, and `others`; the directory stays where it holds anything else.

        Only the process that holds the run may do this: the files could be those of another one.
        """
        for name in EARLY_FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        with suppress(OSError):  # a disk that became read-only is the error to report
            for name in (*EARLY_FILES, self.study.name, *others):
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()

    def staging(self, name: str) -> Path:
        """Return an empty folder inside the run where a model can be put together before it replaces the old one."""
        folder = self.trials / f"{STAGING}{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def adopt(self, staged: Path) -> None:
        """Move finished files from a staging folder into place: the recipe after the model that it vouches for.

        The result comes last: a resume takes a final one as the sign that nothing is left to do.
        """
        last = {"recipe.yaml": 1, "result.json": 2}
        for name in sorted((n for n in KEPT if (staged / n).exists()), key=lambda n: last.get(n, 0)):
            os.replace(staged / name, self.path / name)


def _used(path: Path) -> OutputError:
    """Return the error of an --out that holds something."""
    is_run = (path / "run.json").is_file()
    other = f"go on with `tl-advise resume {shlex.quote(str(path))}`" if is_run else "remove this folder"
    return OutputError(f"{path}: exists and is not empty.", hint=f"Choose another --out, or {other}.")


def _holds_something(path: Path) -> bool:
    """Whether a folder holds more than what a run leaves that was killed before it wrote its first file."""
    if any(
        not (p.name in ("trials", "lock") or re.fullmatch(r"\.run\.json\.\d+\.tmp", p.name)) for p in path.iterdir()
    ):
        return True
    trials = path / "trials"
    return trials.exists() and (not trials.is_dir() or any(trials.iterdir()))
