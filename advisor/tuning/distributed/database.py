"""A database that several machines share: its address without secrets, patience while it is away, leases, logits.

In: an Optuna storage URL. Out: Optuna's storage in it, and two tables of our own beside Optuna's: `tl_advise_leases`
(who holds what until when, by the database's own clock) and `tl_advise_logits` (validation logits of trials that ran
elsewhere). Whatever cannot be reached is tried again for two minutes, then told in one line that holds no password.
Does NOT cover: what is written there (shared_study.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from advisor.errors import DatabaseError, InputError

T = TypeVar("T")
VARIABLE = "TL_ADVISE_STORAGE"
PATIENCE_S = 120.0  # how long a database may be away before the search gives up
LONGEST_PAUSE_S = 5.0
CONNECT_S = 10
NOBODY = ""  # holds what waits to be taken
_SECRETS = ("password", "passwd", "sslpassword", "passfile")
_TABLES = sa.MetaData()
LEASES = sa.Table(
    "tl_advise_leases",
    _TABLES,
    sa.Column("study", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("until", sa.Float(53), nullable=False),
)
LOGITS = sa.Table(
    "tl_advise_logits",
    _TABLES,
    sa.Column("study", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)


def address(given: str | None) -> str | None:
    """Give the storage's URL: what the command line says, with the secrets of TL_ADVISE_STORAGE where that is the same.

    Raises InputError for a password on the command line, where everybody on the machine could read it.
    """
    if given is not None and secret(given):
        raise InputError(
            "--storage: a password in the URL stands in the process list.",
            hint=f"Leave it out there and set {VARIABLE}, PGPASSWORD or PGPASSFILE.",
        )
    stated = os.environ.get(VARIABLE)
    return given if stated is None or (given is not None and public(stated) != public(given)) else stated


def _url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise InputError("the storage is no URL.", hint="Write it like postgresql://user@host/database.") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def secret(text: str) -> bool:
    """Whether a URL carries a password."""
    url = _url(text)
    return bool(url.password) or any(name in url.query for name in _SECRETS[:3])


def public(text: str) -> str:
    """Give a URL without its secrets, as it may be shown and written down."""
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


class Database:
    """One shared database. `note` is told once when it goes away, and once when it is back."""

    def __init__(self, text: str, note: Callable[[str], None] = lambda text: None) -> None:
        self.place = public(text)
        self.note = note
        url = _url(text)
        self._secrets = [str(s) for s in (url.password, os.environ.get("PGPASSWORD")) if s]
        self.storage: Any = self._open(url)
        self.engine: sa.Engine = self.storage.engine
        self.run(lambda: _TABLES.create_all(self.engine), patience_s=0.0)

    def _open(self, url: sa.URL) -> Any:
        import optuna

        postgres = url.drivername.startswith("postgresql")
        reach = {"connect_timeout": CONNECT_S, "tcp_user_timeout": 20000} if postgres else {"timeout": 60}
        options = {"pool_pre_ping": True, "connect_args": reach}
        try:
            return self._made(url.render_as_string(hide_password=False), options)
        except ImportError:
            raise InputError(
                f"{self.place}: its driver is not installed.", hint="pip install 'tl-advise[distributed]'"
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

    def _made(self, text: str, options: dict[str, Any]) -> Any:
        """Open Optuna's storage; where another process makes its tables at the same instant, look again."""
        import optuna

        for last in (False, False, True):
            try:
                return optuna.storages.RDBStorage(text, engine_kwargs=options)
            except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                told = f"{error} {error.__cause__}"
                if last or not any(words in told for words in ("already exists", "duplicate key", "UNIQUE")):
                    raise
                time.sleep(1.0)
        return None

    def run(self, operation: Callable[[], T], *, patience_s: float = PATIENCE_S) -> T:
        """Do something in the database; where it is away, again and again with growing pauses. Raises DatabaseError."""
        import optuna

        until, pause, told = time.monotonic() + patience_s, 0.2, False
        while True:
            try:
                answer = operation()
            except (sa.exc.OperationalError, sa.exc.InterfaceError, optuna.exceptions.StorageInternalError) as error:
                if time.monotonic() >= until:
                    raise DatabaseError(
                        f"{self.place}: lost ({self._plain(error)}).",
                        hint="What was finished is kept there; `tl-advise resume` goes on.",
                    ) from None
                if not told and pause > 1.0:
                    self.note(f"{self.place} does not answer; trying again for {patience_s:.0f} s")
                    told = True
                time.sleep(min(pause, LONGEST_PAUSE_S))
                pause *= 2
            else:
                if told:
                    self.note(f"{self.place} answers again")
                return answer

    def _plain(self, error: BaseException) -> str:
        reason = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
        text = " ".join(str(reason).split())
        for hidden in self._secrets:
            text = text.replace(hidden, "***")
        return text[:200]

    # ---- leases ----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Give the database's own clock, in seconds since 1970: the only one that all machines agree on."""

        def operation() -> float:
            with self.engine.connect() as connection:
                return float(connection.execute(sa.select(self._now())).scalar_one())

        return self.run(operation)

    def _now(self) -> Any:
        """Give the clock as an expression, so that a comparison with it needs no question of its own."""
        if self.engine.dialect.name != "postgresql":
            return sa.literal(time.time(), sa.Float(53))  # a file: all its users are on this machine
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float(53))

    def take(self, study: int, name: str, holder: str, lease_s: float) -> bool:
        """Take a lease that nobody holds, or whose time is over; False where it is held. Only one of many succeeds."""
        return self._take(study, name, holder, self._now() + lease_s)

    def queue(self, study: int, name: str) -> None:
        """Leave a lease for anybody to take, unless somebody holds it: how a waiting trial is seen by `glance`."""
        self._take(study, name, NOBODY, sa.literal(0.0, sa.Float(53)))

    def _take(self, study: int, name: str, holder: str, until: Any) -> bool:
        def operation() -> bool:
            with self.engine.begin() as connection:
                row = sa.and_(LEASES.c.study == study, LEASES.c.name == name)
                mine = {"holder": holder, "until": until}
                taken = connection.execute(sa.update(LEASES).where(row, LEASES.c.until < self._now()).values(mine))
                if taken.rowcount or connection.execute(sa.select(LEASES.c.holder).where(row)).first() is not None:
                    return bool(taken.rowcount)
                try:
                    with connection.begin_nested():
                        connection.execute(sa.insert(LEASES).values(study=study, name=name, **mine))
                except sa.exc.IntegrityError:
                    return False
                return True

        return self.run(operation)

    def renew(self, study: int, holder: str, lease_s: float) -> int:
        """Prolong everything that a holder holds; give the number of leases."""

        def operation() -> int:
            with self.engine.begin() as connection:
                mine = sa.and_(LEASES.c.study == study, LEASES.c.holder == holder)
                return connection.execute(sa.update(LEASES).where(mine).values(until=self._now() + lease_s)).rowcount

        return self.run(operation)

    def release(self, study: int, holder: str, name: str | None = None) -> None:
        """Let go of one lease, or of all that a holder holds."""

        def operation() -> None:
            mine = [LEASES.c.study == study, LEASES.c.holder == holder]
            with self.engine.begin() as connection:
                connection.execute(sa.delete(LEASES).where(*mine, *([LEASES.c.name == name] if name else [])))

        self.run(operation)

    def held(self, study: int) -> tuple[dict[str, str], dict[str, str]]:
        """Give the holders of all leases by name: those that are in force, and those whose time is over."""

        def operation() -> list[Any]:
            over = LEASES.c.until < self._now()
            with self.engine.connect() as connection:
                mine = sa.and_(LEASES.c.study == study, LEASES.c.holder != NOBODY)
                return list(connection.execute(sa.select(LEASES.c.name, LEASES.c.holder, over).where(mine)))

        rows = self.run(operation)
        return {n: h for n, h, over in rows if not over}, {n: h for n, h, over in rows if over}

    def glance(self, study: int, keeper: str) -> tuple[list[str], bool]:
        """Name the leases left for anybody, and say whether the keeper's is in force: one question, since many ask it."""

        def operation() -> list[str]:
            there = sa.and_(LEASES.c.name == keeper, LEASES.c.until >= self._now())
            with self.engine.connect() as connection:
                mine = sa.and_(LEASES.c.study == study, sa.or_(LEASES.c.holder == NOBODY, there))
                return list(connection.scalars(sa.select(LEASES.c.name).where(mine)))

        names = self.run(operation)
        return [name for name in names if name != keeper], keeper in names

    # ---- logits ----------------------------------------------------------------------------------------------------

    def put_logits(self, study: int, number: int, payload: bytes) -> None:
        """Leave a trial's validation logits for the coordinator."""

        def operation() -> None:
            with self.engine.begin() as connection:
                row = sa.and_(LOGITS.c.study == study, LOGITS.c.number == number)
                connection.execute(sa.delete(LOGITS).where(row))
                connection.execute(sa.insert(LOGITS).values(study=study, number=number, payload=payload))

        self.run(operation)

    def logits(self, study: int, number: int) -> bytes | None:
        """Give what a worker left there; None where there is nothing."""

        def operation() -> bytes | None:
            row = sa.and_(LOGITS.c.study == study, LOGITS.c.number == number)
            with self.engine.connect() as connection:
                found = connection.execute(sa.select(LOGITS.c.payload).where(row)).scalar()
                return None if found is None else bytes(found)

        return self.run(operation)
