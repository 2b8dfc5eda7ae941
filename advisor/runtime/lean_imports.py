"""torch's compiler, kept out of processes that do not compile: it takes seconds of CPU to import, and nothing here uses it.

In: nothing. Out: import hooks. torchvision imports `torch._dynamo.utils` for one function of its detection operators, and
torch's optimizers import `torch._dynamo` at their first step to tell the compiler where not to look: 2.2 to 2.6 s of CPU each
time on the first of them (torch 2.14, torchvision 0.29). The real modules are imported as soon as anything else of them is
used.
Does NOT cover: processes that have imported the compiler already, for which nothing changes.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

COMPILER = "torch._dynamo"
_ASKS_THE_COMPILER = "torchvision.ops.roi_align"


class _StandIn(types.ModuleType):
    """A module that has a few functions of its own, and is replaced by the real one when anything else is asked of it.

    A package's `__path__` is the real one's: the import of a submodule begins with it.
    """

    def __init__(self, name: str, *, package: bool = False, **own: Callable[..., Any]) -> None:
        super().__init__(name)
        self.__dict__.update(own, _asks=("__path__",) if package else ())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in self._asks:
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _same(function: Any = None, recursive: bool = True, **_: Any) -> Any:
    """Return the function: what is never compiled need not be kept from the compiler."""
    return function


def _nothing(*_: Any, **__: Any) -> None:
    """Mark no place: a break in a graph means nothing where no graph is traced."""


def _is_compile_supported(device_type: Any) -> Any:
    """Return what the compiler itself answers; it is imported at the first call."""
    return importlib.import_module(f"{COMPILER}.utils").is_compile_supported(device_type)


class _WithStandIns(Loader):
    """Loads a module while stand-ins lie where it looks for the compiler."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        name = f"{COMPILER}.utils"
        stand_in = _StandIn(name, is_compile_supported=_is_compile_supported)
        sys.modules.setdefault(name, stand_in)
        try:
            self.loader.exec_module(module)
        finally:
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds the one module of torchvision that asks the compiler something while it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _ASKS_THE_COMPILER or (COMPILER in sys.modules and not _is_stand_in()):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithStandIns(spec.loader)
        return spec


def _is_stand_in() -> bool:
    return isinstance(sys.modules.get(COMPILER), _StandIn)


def install() -> None:
    """Install the hook by which torchvision is imported without the compiler. May be called more than once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def stand_in_for_compiler() -> None:
    """Install a stand-in where torch's optimizers look for the compiler: for processes of our own that only train."""
    sys.modules.setdefault(COMPILER, _StandIn(COMPILER, package=True, disable=_same, graph_break=_nothing))
