"""A PostgreSQL server of one's own for tests and benchmarks: in a temporary directory, on a loopback port, stopped after.

The server refuses to run as root, so that a root user starts it as another account.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PASSWORD = "open sesame"  # with a blank, so that whoever forgets to quote it is caught
USER = "advisor"


class Unavailable(Exception):
    """No server can be had here; the message says why."""


class Server:
    """A server that can be stopped and started again. `url` has the password in it, `public` has not."""

    def __init__(self) -> None:
        self.programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="tl-advise-postgres-"))
        self.account = _account()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        for path in (self.folder, secret):
            path.chmod(0o700)
            if self.account:
                shutil.chown(path, self.account, pwd.getpwnam(self.account).pw_gid)
        call = [self.programs / "initdb", "-D", self.data, "-U", USER, "-A", "scram-sha-256", "--pwfile", secret, "-N"]
        try:
            self._do(*call, "-E", "UTF8", "--locale=C")
        except subprocess.SubprocessError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise Unavailable(f"initdb failed: {error}") from error

    @property
    def data(self) -> Path:
        """Where the server keeps its files."""
        return self.folder / "data"

    @property
    def public(self) -> str:
        """The address without its password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    @property
    def url(self) -> str:
        """The address as TL_ADVISE_STORAGE would carry it."""
        return self.public.replace(f"{USER}@", f"{USER}:{PASSWORD.replace(' ', '%20')}@")

    def _do(self, *call: object) -> None:
        before = [
            "setpriv",
            "--reuid",
            self.account,
            "--regid",
            str(pwd.getpwnam(self.account).pw_gid),
            "--clear-groups",
        ]
        words = [*(before if self.account else []), *(str(word) for word in call)]
        subprocess.run(
            words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder, timeout=120
        )

    def start(self) -> Server:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off -c max_connections=300"
        control = self.programs / "pg_ctl"
        atexit.register(self.remove)  # also where whoever started it forgets
        self._do(control, "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "-o", options, "start")
        return self

    def stop(self) -> None:
        """Stop it at once, as a machine that goes down would."""
        self._do(self.programs / "pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        """Stop it and delete everything; a second time does nothing."""
        if not self.folder.exists():
            return
        try:
            self.stop()
        except subprocess.SubprocessError:
            time.sleep(0.1)  # it was stopped already
        shutil.rmtree(self.folder, ignore_errors=True)


def _programs() -> Path:
    """Find initdb and pg_ctl: beside each other, on the path or where Debian puts them."""
    there = shutil.which("initdb")
    folders = [Path(there).resolve().parent] if there else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise Unavailable("PostgreSQL is not installed (initdb and pg_ctl)")


def _account() -> str:
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        if shutil.which("setpriv"):
            return name
    raise Unavailable("PostgreSQL does not run as root, and there is no other account to run it as")
