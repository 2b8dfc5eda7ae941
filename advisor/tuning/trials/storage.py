"""Where a study stands: a file of the run's own, or a team's database under an Optuna storage URL.

In: a path or a URL. Out: Optuna's storage, and `run`, which writes to it with patience. One coordinator writes; dashboards and
notebooks read. A database that is away is tried again for two minutes, then reported in one line that holds no password.
Does NOT cover: what is written there (`study`).
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import optuna
import sqlalchemy as sa

from advisor.aliases import Note
from advisor.errors import DatabaseError, InputError, OutputError, one_line

T = TypeVar("T")
VARIABLE = "TL_ADVISE_STORAGE"
PATIENCE_S = 120.0  # how long a database may be away before the search gives up
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0  # between two tries, doubled each time
CONNECT_S = 10
LOCK_S = 60  # a reader may hold the file's lock for a moment; wait for it rather than fail
_SECRETS = ("password", "passwd", "sslpassword", "passfile")


class StudyStorage(Protocol):
    """Optuna's storage, and how operations on it are run."""

    storage: Any

    def run(self, operation: Callable[[], T]) -> T:
        """Run an operation on the storage and return its result."""
        ...

    def damaged(self, reason: Exception) -> InputError:
        """Return the error of trials that are there and cannot be read."""
        ...


class StudyFile:
    """A SQLite file of the run's own. Raises OutputError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        absolute = os.path.abspath(path)  # the working directory may change before a later connection

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(absolute, timeout=LOCK_S, check_same_thread=False)

        # The URL names the kind of database only: "?", "%" or "{" of a path would mean something in it.
        options = {"creator": connect}
        self.storage: Any = self.run(lambda: optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=options))

    def run(self, operation: Callable[[], T]) -> T:
        """Run an operation; report a file that cannot be written (a full disk) in one line."""
        try:
            return operation()
        except (optuna.exceptions.StorageInternalError, sa.exc.DatabaseError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> InputError:
        """Return the error of a file that is damaged, held by another process, or cannot be written, by what SQLite says."""
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        reason = getattr(cause, "orig", None) or cause or error
        if isinstance(reason, sqlite3.DatabaseError) and not isinstance(reason, sqlite3.OperationalError):
            return self.damaged(reason)  # no database, or a part of one
        first = "End the process that holds it" if "locked" in str(reason) else "Free some space"
        return OutputError(
            f"{self.path}: cannot be written ({one_line(reason, 160)}).",
            hint=f"{first}, then `tl-advise resume {shlex.quote(str(self.path.parent))}`.",
        )

    def damaged(self, reason: Exception) -> InputError:
        """Return the error of a file that is damaged; SQLite itself does not notice changed bytes of a text."""
        return InputError(
            f"{self.path}: is damaged ({one_line(reason, 160)}).",
            hint="Copy the whole run again, or delete this file: its trials are then made again.",
        )


def address(option: str | None) -> str | None:
    """Return the storage's URL: the one given, with the secrets of TL_ADVISE_STORAGE where that names the same database.

    Raises InputError for a password on the command line, where everybody on the machine could read it.
    """
    if option is not None and _has_secret(option):
        raise InputError(
            "--storage: a password in the URL is visible in the process list.",
            hint=f"Leave it out there and set {VARIABLE}, PGPASSWORD or PGPASSFILE.",
        )
    stated = os.environ.get(VARIABLE)
    return option if stated is None or (option is not None and public(stated) != public(option)) else stated


def public(text: str) -> str:
    """Return a URL without its secrets, as it may be shown and written down. Raises InputError where it is no URL."""
    url = _url(text)
    plain = sa.URL.create(
        url.drivername.partition("+")[0],
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query={k: v for k, v in url.query.items() if k not in _SECRETS},
    )
    return plain.render_as_string(hide_password=True)


def _has_secret(text: str) -> bool:
    url = _url(text)
    return bool(url.password) or any(name in url.query for name in _SECRETS[:3])


def _url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise InputError(
            "--storage: this is not a URL.", hint="Write it like postgresql://user@host/database."
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


class Database:
    """A team's database. `note` is called once when it goes away, and once when it is back."""

    def __init__(self, text: str, note: Note = lambda text: None) -> None:
        self.place = public(text)
        self.note = note
        url = _url(text)
        stated = (url.password, os.environ.get("PGPASSWORD"), *(url.query.get(name) for name in _SECRETS))
        self._secrets = [str(s) for s in stated if s]
        self.storage: Any = self._open(url)

    def _open(self, url: sa.URL) -> Any:
        postgres = url.drivername.startswith("postgresql")
        reach = {"connect_timeout": CONNECT_S, "tcp_user_timeout": 20000} if postgres else {"timeout": LOCK_S}
        options = {"pool_pre_ping": True, "connect_args": reach}
        try:
            return optuna.storages.RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
        except ImportError:
            raise InputError(
                f"{self.place}: its driver is not installed.", hint="pip install 'tl-advise[storage]'"
            ) from None
        except RuntimeError as error:
            raise InputError(
                f"{self.place}: made by another version of Optuna ({self._plain(error)}).",
                hint="`optuna storage upgrade` upgrades it; or name another database.",
            ) from None
        except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise InputError(
                f"{self.place}: cannot be opened ({self._plain(error)}).",
                hint=f"Is it running, and are user and password ({VARIABLE}, PGPASSWORD, PGPASSFILE) right?",
            ) from None

    def run(self, operation: Callable[[], T]) -> T:
        """Run an operation; where the database is away, again with growing pauses. Raises DatabaseError."""
        until, pause_s, noted = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S, False
        while True:
            try:
                result = operation()
            except (sa.exc.OperationalError, sa.exc.InterfaceError, optuna.exceptions.StorageInternalError) as error:
                if time.monotonic() >= until:
                    raise DatabaseError(
                        f"{self.place}: lost ({self._plain(error)}).",
                        hint="Finished trials are kept there; `tl-advise resume` continues the search.",
                    ) from None
                if not noted and pause_s > 1.0:
                    self.note(f"{self.place} does not answer; trying again for {PATIENCE_S:.0f} s")
                    noted = True
                time.sleep(min(pause_s, LONGEST_PAUSE_S))
                pause_s *= 2
            else:
                if noted:
                    self.note(f"{self.place} answers again")
                return result

    def damaged(self, reason: Exception) -> InputError:
        """Return the error of a study with trials that were changed, or that another program put there."""
        return InputError(
            f"{self.place}: the study holds a trial that cannot be read ({self._plain(reason)}).",
            hint="Remove that trial there, or start a new run with another --study.",
        )

    def _plain(self, error: BaseException) -> str:
        reason = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
        text = " ".join(str(reason).split())
        for hidden in self._secrets:
            text = text.replace(hidden, "***")
        return text[:200]
