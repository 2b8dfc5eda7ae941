"""Reach a Ray cluster, or start one on this machine; and what it has to offer.

In: an address. Out: an open connection, or one line that says why there is none (exit code 2). Does NOT cover: what runs
there (`executor`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from advisor.data.remote import urls
from advisor.errors import InputError
from advisor.runtime import device

OLDEST = (2, 40)
REACH_S = 5.0  # for the head node to accept a connection
THREADS = 4  # CPU threads per actor, or as many as the smallest node has
STORE_SHARE = 0.6  # of the smallest node's object store, which one set of decoded pixels may fill


@dataclass(frozen=True, kw_only=True)
class ClusterCapacity:
    """What a cluster has at one moment. `store_bytes` is the object store of the smallest node."""

    nodes: int
    cpus: float
    gpus: float
    smallest_cpus: int
    store_bytes: int


def connect(address: str, threads: int | None = None) -> Any:
    """Connect to a cluster ("auto", "local", "HOST:PORT") and return the module `ray`.

    Raises InputError where Ray is missing or too old, nothing answers, or Ray or Python differ there.
    """
    ray = _module()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody unless the user wants it
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": True}
    if address == "local":
        options |= {"num_cpus": max(device.cores(), threads or 1), "include_dashboard": False}
    else:
        options["address"] = _checked(address)
    try:
        with contextlib.redirect_stderr(open(os.devnull, "w")), _own_signals():
            ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"--ray {urls.public(address)}: no cluster can be used there ({reason}).",
            hint="Start one with `ray start --head`, with the same Ray and Python on every node.",
        ) from None
    return ray


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Preserve this process's own meaning of SIGTERM: Ray would exit at once, without the best model so far and the hint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _module() -> Any:
    try:
        import ray
    except ImportError:
        raise InputError("--ray: Ray is not installed.", hint="pip install 'tl-advise[ray]'") from None
    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    if version < OLDEST:
        raise InputError(
            f"--ray: Ray {ray.__version__} is too old, {OLDEST[0]}.{OLDEST[1]} is needed.",
            hint="pip install -U 'tl-advise[ray]', on every node.",
        )
    return ray


def _checked(address: str) -> str:
    """Return an address at which something listens: Ray itself waits for minutes where nothing does."""
    target = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    if target == "auto":
        return target
    host, _, port = target.rpartition(":")
    if "//" in target or not host or not port.isdigit():
        raise InputError(
            f"--ray {urls.public(address)}: this is no address of a cluster.",
            hint="Give auto, local or HOST:PORT (the head's port, 6379 by default), and run on a node of the cluster.",
        )
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise InputError(
            f"--ray {urls.public(address)}: {target} does not answer ({error.strerror or error}).",
            hint="Is the head running (`ray status`), and is its port open to this machine?",
        ) from None
    return target


def offer(ray: Any) -> ClusterCapacity:
    """Return what the nodes that are alive have together, and the smallest of them."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [float(node.get("CPU", 0.0)) for node in nodes]
    stores = [int(node.get("object_store_memory", 0)) for node in nodes if node.get("object_store_memory")]
    return ClusterCapacity(
        nodes=len(nodes),
        cpus=sum(cpus),
        gpus=sum(float(node.get("GPU", 0.0)) for node in nodes),
        smallest_cpus=int(min((c for c in cpus if c >= 1), default=1)),
        store_bytes=min(stores, default=0),
    )
