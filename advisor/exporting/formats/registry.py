"""The formats by name: every module of this package that has a `NAME`, so that a new format is a new file and nothing else."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from typing import cast

from advisor.errors import InputError
from advisor.exporting import formats
from advisor.exporting.formats.base import ExportFormat

_DEFAULT = "torch"


@functools.cache
def by_name() -> Mapping[str, ExportFormat]:
    """Return the formats by name, the default first and the others in the order of their names."""
    modules = [
        importlib.import_module(f"{formats.__name__}.{entry.name}") for entry in pkgutil.iter_modules(formats.__path__)
    ]
    each = [cast(ExportFormat, module) for module in modules if hasattr(module, "NAME")]
    return {form.NAME: form for form in sorted(each, key=lambda form: (form.NAME != _DEFAULT, form.NAME))}


def names() -> str:
    """Return the names in one phrase: "torch, onnx or safetensors"."""
    *first, last = by_name()
    return f"{', '.join(first)} or {last}"


def find(name: str) -> ExportFormat:
    """Return a format that can be used here, before any work is done.

    Raises InputError for a name that does not exist, or where packages are missing.
    """
    form = by_name().get(name)
    if form is None:
        raise InputError(f"--format {name}: there is no such format.", hint=f"Choose one of {', '.join(by_name())}.")
    missing = [package for package in form.PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"--format {name} needs {', '.join(missing)}.", hint=f"pip install 'tl-advise[{form.EXTRA}]'")
    return form
