"""The code behind a network as cache keys name it: its source files by their contents, its libraries by their versions.

In: functions and classes. Out: module names -> a version, or the SHA-256 of source. An author who edits a network between two
runs changes neither its name nor its version, so contents count. A file is hashed once per process, since what was imported
does not change with it. Does NOT cover: torch and `advisor` itself, whose versions the keys name by themselves.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from advisor.runtime import environment

_VERSIONED = ("timm", "torchvision")  # too many files to hash, and nobody edits them in place
_NAMED_BY_KEYS = frozenset({"advisor", "torch", *sys.stdlib_module_names})


def identity(functions: Iterable[object], classes: Iterable[type]) -> dict[str, str]:
    """Return what defines these functions and classes: by module for classes, by whole package for functions.

    A function may call anything in its package without a trace of it in the network that it builds. What has no source
    file (an interactive session, a compiled module) is left out.
    """
    packages = {_top(name) for function in functions for name in _modules_of(function)}
    names = packages | {c.__module__ for c in classes}
    sources = {n: _source(n, whole=n in packages) for n in names if _top(n) not in {*_NAMED_BY_KEYS, *_VERSIONED}}
    versions = {n: environment.version(n) for n in _VERSIONED if n in map(_top, names)}
    return {name: text for name, text in sorted({**sources, **versions}.items()) if text}


def _top(module: str) -> str:
    return module.partition(".")[0]


def _modules_of(function: object) -> Iterator[str]:
    """Name the modules of a function and of those that it wraps: partial functions, decorators, the plugin guard."""
    while function is not None:
        if isinstance(function, partial):
            function = function.func
            continue
        yield str(getattr(function, "__module__", "") or "")
        function = getattr(function, "__wrapped__", None) or getattr(function, "function", None)


def _source(module: str, *, whole: bool) -> str:
    loaded = sys.modules.get(module)
    folders = tuple(getattr(loaded, "__path__", ())) if whole else ()
    file = getattr(loaded, "__file__", None)
    return _contents(folders or ((file,) if isinstance(file, str) else ()))


@lru_cache(maxsize=1024)
def _contents(paths: tuple[str, ...]) -> str:
    """Return the SHA-256 of files, and of every Python file below folders with its relative path; "" where none is read."""
    digest, files = hashlib.sha256(), 0
    for path in map(Path, paths):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            try:
                content = file.read_bytes()
            except OSError:
                continue
            files += 1
            digest.update(f"{file.relative_to(path).as_posix()}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            digest.update(content)
    return digest.hexdigest() if files else ""
