"""Describe a network that is not in the curated table, once per machine: the description is kept in the cache.

That of a repository of the hub belongs to one commit, which it names: weights are those of the same commit, and where the
hub's cache holds another one the network is described anew.

It takes building the network, hence torch: where torch is not imported yet, a process of its own does it, so that the
caller stays light. Nothing is described twice. Does NOT cover: the description itself (`describe`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from advisor.errors import PluginError
from advisor_timm.network import Network, from_json, to_json

HUB = "hf-hub:"
_VERSION = 2  # raise when a description would come out differently


@cache
def describe(name: str, revision: str = "") -> Network:
    """Describe a network by its name on the command line; `revision` is a commit of its repository, "" for the newest cached.

    Raises PluginError, with a hint, where there is none.
    """
    commit = revision or _cached_commit(name)
    last = _file(name, "")  # for a repository: of the commit that was described last
    record = _read(_file(name, commit)) if commit or not name.startswith(HUB) else None
    if record is None:
        pinned = f"{name}@{commit}" if commit else name
        try:
            record = _here(pinned) if "torch" in sys.modules else _in_a_process(pinned)
        except PluginError:
            record = None if commit else _read(last)
            if record is None:
                raise
        for file in {_file(name, record.get("revision", "")), *(() if revision else (last,))}:
            _write(file, record)
    return from_json(record)


def _cached_commit(name: str) -> str:
    """Return the commit of a repository that the hub's cache holds as the newest, "" where it holds none."""
    if not name.startswith(HUB):
        return ""
    from huggingface_hub import constants

    folder = f"models--{name.removeprefix(HUB).replace('/', '--')}"
    try:
        return (Path(constants.HF_HUB_CACHE) / folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _file(name: str, commit: str) -> Path:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "--", name)
    return _folder() / f"{slug}{f'@{commit}' if commit else ''}.json"


def _folder() -> Path:
    import platformdirs

    base = os.environ.get("TL_ADVISE_CACHE") or platformdirs.user_cache_dir("tl-advise")
    folder = Path(os.path.expanduser(base))
    if not folder.is_absolute() and not os.environ.get("TL_ADVISE_CACHE"):  # a user without a home
        folder = Path(tempfile.gettempdir()) / f"tl-advise-{os.getuid()}"
    return folder / "networks" / f"timm-{metadata.version('timm')}-{_VERSION}"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _write(file: Path, record: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs seconds, not the run
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(record), encoding="utf-8")
        part.replace(file)


def _here(name: str) -> dict[str, Any]:
    from advisor_timm import describe

    try:
        return to_json(describe.describe(name.removeprefix("timm/")))
    except describe.UnknownNetworkError as error:
        raise PluginError(f"{str(error).rstrip('.')}.", hint=error.hint) from error


def _in_a_process(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "advisor_timm.describe", name.removeprefix("timm/")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    lines = done.stdout.strip().splitlines()
    try:
        reply = dict(json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise PluginError(f"{name} could not be described by timm ({last[:160]}).") from None
    if "error" in reply:
        raise PluginError(f"{reply['error'].rstrip('.')}.", hint=reply.get("hint", ""))
    return reply
