"""Worker processes forked from one that has imported torch already: the same program, 4 s of processor time earlier.

A test session starts some eighty workers, and each would import torch, torchvision and SciPy anew. Here one process does so
once, and every worker is a fork of it: the job comes through the socket that `advisor.execution.worker` passes, with its
environment, working directory, log and exit status. The real start is what the commands that tests run as processes use.

Run as a script (`python prepared_workers.py FD`) this file is the process that forks.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

WORKER = "advisor.execution.worker_main"
LONGEST = 1 << 20  # bytes of a message
# Read while Python or a library is loaded: a worker that needs other values than the process that forks is started anew.
AT_START = ("OMP_", "MKL_", "GOMP_", "OPENBLAS_", "PYTHON", "LD_", "CUDA_")


class Forker:
    """The process that forks, seen from the tests."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = ours
        self.environment = dict(environment)
        self.codes: dict[int, int] = {}
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=self.environment,
        )
        theirs.close()

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Return True if a fork starts as a new process with this environment would."""
        return _at_start(environment) == _at_start(self.environment)

    def fork(self, descriptor: int, log: Any, environment: Mapping[str, str]) -> Fork:
        """Start a worker on one end of a socket pair."""
        with open(os.devnull, "ab") as nothing, self.lock:
            output = nothing if isinstance(log, int) else log
            request = pickle.dumps((os.getcwd(), dict(environment)))
            socket.send_fds(self.socket, [request], [descriptor, output.fileno()])
            while not isinstance(pid := self._hear(None), int):
                pass
        return Fork(self, pid)

    def code(self, pid: int, timeout: float | None) -> int | None:
        """Wait for the exit status of a worker; None where it still runs."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            with self.lock:
                if pid not in self.codes:
                    self._hear(0.02)
                if pid in self.codes:
                    return self.codes[pid]
            if until is not None and time.monotonic() >= until:
                return None

    def _hear(self, timeout: float | None) -> int | None:
        """Read one message: the number of a new process, which is returned, or the exit status of one that ended."""
        self.socket.settimeout(timeout)
        try:
            message = pickle.loads(self.socket.recv(LONGEST))
        except TimeoutError:
            return None
        if isinstance(message, int):
            return message
        pid, code = message
        self.codes[pid] = code
        return None

    def close(self) -> None:
        """End the process that forks."""
        self.socket.close()
        self.process.wait()


class Fork:
    """A worker process, with the part of `subprocess.Popen` that its user needs."""

    def __init__(self, forker: Forker, pid: int) -> None:
        self.forker, self.pid = forker, pid

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self.forker.code(self.pid, 0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        code = self.forker.code(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired(WORKER, timeout or 0.0)
        return code

    def kill(self) -> None:
        """Send SIGKILL where it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(self.pid, signal.SIGKILL)


class Subprocess:
    """Stands for the module `subprocess` in `advisor.execution.worker`."""

    DEVNULL = subprocess.DEVNULL
    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self) -> None:
        self.forker: Forker | None = None

    def Popen(self, arguments: Sequence[str], *, env: Mapping[str, str], stdout: Any, **others: Any) -> Any:  # noqa: N802
        """Fork a worker; start any other program, and a worker of another kind of environment, as ever."""
        if WORKER not in arguments or (self.forker is not None and not self.forker.fits(env)):
            return subprocess.Popen(arguments, env=env, stdout=stdout, **others)
        if self.forker is None:
            self.forker = Forker(env)
        return self.forker.fork(int(arguments[-1]), stdout, env)

    def close(self) -> None:
        """End the process that forks, if there is one."""
        if self.forker is not None:
            self.forker.close()


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


# ---- the process that forks ------------------------------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    """Fork workers and report how they end, until the tests are gone."""
    _import_all()
    woken, wakes = socket.socketpair()
    woken.setblocking(False)
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    selector = selectors.DefaultSelector()
    selector.register(line, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is woken:
                woken.recv(4096)
                _report_ends(line)
                continue
            request, descriptors, _, _ = socket.recv_fds(line, LONGEST, 2)
            if not request:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                selector.close()
                for stream in (line, woken, wakes):
                    stream.close()
                _become_worker(request, *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            line.send(pickle.dumps(pid))


def _import_all() -> None:
    """Import what a worker imports until its first trial; no thread is started by any of it."""
    import scipy.special  # noqa: F401
    import torch  # noqa: F401
    import torchvision  # noqa: F401

    import advisor.execution.elastic.launch
    import advisor.execution.insight.learning_curve
    import advisor.execution.probe
    import advisor.execution.resources
    import advisor.execution.test_scoring
    import advisor.execution.timing
    import advisor.execution.worker_main  # noqa: F401
    import advisor_pocket  # noqa: F401
    import advisor_strategies  # noqa: F401
    import advisor_torchvision  # noqa: F401


def _report_ends(line: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        line.send(pickle.dumps((pid, os.waitstatus_to_exitcode(status))))


def _become_worker(request: bytes, descriptor: int, output: int) -> None:
    """Take the place of a process that was started for one worker; does not return."""
    try:
        folder, environment = pickle.loads(request)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        from advisor.execution import worker_main

        worker_main.main(descriptor)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
