"""The server process: a socket that is bound before anything is said, structured log lines, and an orderly end.

In: an application and an address. Out: nothing until it is stopped (SIGINT, SIGTERM). Does NOT cover: what is served (`app`).
"""

from __future__ import annotations

import logging
import socket
import sys
from typing import TYPE_CHECKING, Any

from advisor.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

KEEP_ALIVE_S = 5
SHUTDOWN_S = 10  # in which requests under way may end


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
        hint = "Choose another one with --port, or --port 0 for any that is free."
        raise InputError(f"--host {host} --port {port}: {error.strerror}.", hint=hint) from None
    return bound


def log_to_stderr(*, quiet: bool) -> None:
    """Write one JSON object per request to standard error, unless it shall be quiet."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter('{"time": "%(asctime)s", "level": "%(levelname)s", "request": %(message)s}'))
    logger = logging.getLogger("tl_advise.serve")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else logging.INFO)


def run(app: FastAPI, bound: socket.socket, **options: Any) -> None:
    """Serve until the process is told to stop; requests under way are finished first."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
        **options,
    )
    uvicorn.Server(config).run(sockets=[bound])
