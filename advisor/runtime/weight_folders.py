"""Folders in which files of weights are looked for, in order, and folders of links to files from elsewhere.

Does NOT cover: which file belongs to which backbone, and its checksum (`models`).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def cache_dir() -> Path:
    """Return where `fetch` puts files unless it is told otherwise: our cache, or TL_ADVISE_CACHE, /weights."""
    from advisor.runtime import cache

    return cache.default_dir() / "weights"


def split(weights_dir: str | Path | None) -> list[Path]:
    """Return the folders that one text names, separated as in PATH."""
    return [Path(os.path.expanduser(part)) for part in str(weights_dir or "").split(os.pathsep) if part]


def search_path(weights_dir: str | Path | None = None) -> tuple[Path, ...]:
    """List the folders in which a file is looked for, in order. Nothing in them is created."""
    cache_home = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
    torch_home = os.environ.get("TORCH_HOME")
    folders = [
        *split(weights_dir),
        Path(os.path.expanduser(torch_home)) / "hub" / "checkpoints" if torch_home else None,
        cache_home / "torch" / "hub" / "checkpoints",
        cache_dir(),
    ]
    return tuple(dict.fromkeys(f for f in folders if f is not None))


def link(source: Path, name: str) -> Path:
    """Return a folder of ours in which `source` is called `name`. Raises OSError where it cannot be written."""
    folder = cache_dir() / "linked" / hashlib.sha256(str(source).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    if not target.is_symlink():
        target.symlink_to(source)
    return folder
