"""torchvision, imported without torch's compiler.

torchvision 0.2x imports `torch._dynamo.utils` for one function, which says whether a detection operator may be compiled;
that brings the whole compiler and sympy: 2.4 of the 5.6 s of CPU that `import torch, torchvision` takes (torch 2.14, one
thread). A stand-in takes the module's place during the import; its functions import the real one when they are called.
Does NOT cover: programs that have imported the compiler already, for which nothing changes.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

_NAME = "torch._dynamo.utils"

__all__ = ["torchvision"]


class _LateModule(types.ModuleType):
    """A module whose every name is a function that imports the real module and calls the function of that name."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **options: Any) -> Any:
            if sys.modules.get(_NAME) is self:
                del sys.modules[_NAME]
            return getattr(importlib.import_module(_NAME), name)(*args, **options)

        return call


def _imported() -> Any:
    if _NAME in sys.modules:
        return importlib.import_module("torchvision")
    stand_in = _LateModule(_NAME)
    sys.modules[_NAME] = stand_in
    try:
        return importlib.import_module("torchvision")
    finally:
        if sys.modules.get(_NAME) is stand_in:
            del sys.modules[_NAME]


torchvision = _imported()
