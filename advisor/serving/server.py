"""The server process: a socket that is bound before anything is said, structured log lines, and an orderly end.

In: an application and an address. Out: nothing until it is stopped (SIGINT, SIGTERM). Does NOT cover: what is served (`app`).
"""

from __future__ import annotations

import errno
import ipaddress
import json
import logging
import socket
import sys
from typing import TYPE_CHECKING, Any

from advisor.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

KEEP_ALIVE_S = 5
SHUTDOWN_S = 10  # in which requests under way may end
WHICH_HOSTS = "Name an address of this machine: 127.0.0.1 for this machine only, 0.0.0.0 for all others too."


def bind(host: str, port: int) -> socket.socket:
    """Bind a listening socket. Raises InputError where the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio switches Nagle's algorithm off; else an answer waits 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        by_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "Choose another one with --port, or --port 0 for any that is free." if by_port else WHICH_HOSTS
        raise InputError(f"--host {host} --port {port}: {error.strerror}.", hint=hint) from None
    return bound


def is_open(bound: socket.socket) -> bool:
    """Return True if other machines can reach the address of a bound socket."""
    return not ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


class _JsonLines(logging.Formatter):
    """One JSON object per line: a request is an object itself, anything else a message, with its traceback if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"time": self.formatTime(record), "level": record.levelname}
        if isinstance(record.msg, dict):
            return json.dumps({**line, "request": record.msg})
        trace = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps({**line, "message": record.getMessage(), **trace})


def log_to_stderr(*, quiet: bool) -> None:
    """Write one JSON object per request, and per word of the HTTP server, to standard error; if quiet, warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    for name in ("tl_advise.serve", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING if quiet or name == "uvicorn" else logging.INFO)
    # A broken form is answered with 400, and that is logged; where in it the parser stopped is no warning of the server's.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def run(app: FastAPI, bound: socket.socket, **options: Any) -> None:
    """Serve until the process is told to stop; requests under way are finished first."""
    import uvicorn

    from advisor.serving.protocol import BoundedHeadProtocol

    config = uvicorn.Config(
        app,
        http=BoundedHeadProtocol,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
        **options,
    )
    uvicorn.Server(config).run(sockets=[bound])
