"""What must be the same on every machine of a search, and one line that names what differs.

In: this machine, or what another one reported. Out: versions by name. Does NOT cover: pretrained weights, which travel with
each job and are compared by their hash (`actor`).
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

from advisor import registry
from advisor._version import __version__
from advisor.runtime import environment


def describe(blocked: Sequence[str] = ()) -> dict[str, str]:
    """Return the versions that decide what a trial computes: Python, tl-advise, torch, timm and the like, working plugins."""
    plugins = registry.load(block=tuple(blocked)).plugins
    return {
        "Python": platform.python_version(),
        "tl-advise": __version__,
        "torch": importlib.metadata.version("torch"),
        **{n: installed for n in ("torchvision", "timm") if (installed := environment.version(n))},
        **{f"plugin {p.name}": f"{p.distribution} {p.version}" for p in plugins if not p.broken},
    }


def difference(node: str, remote: Mapping[str, str], local: Mapping[str, str]) -> str:
    """Return one line on the first thing that differs on a node, "" where nothing does."""
    for name in [*local, *(name for name in remote if name not in local)]:
        if local.get(name) != remote.get(name):
            expected, other = local.get(name, "not installed"), remote.get(name, "not installed")
            return f"node {node}: {name} is {other} there and {expected} on this machine."
    return ""
