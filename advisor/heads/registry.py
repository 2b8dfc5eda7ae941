"""Every kind of head. A new kind is one file in this package with a `HeadKind` in it, and its entry here.

Built-in only: plugins choose among these kinds (docs/plugins.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from advisor.errors import PluginError
from advisor.heads import knn, linear, logistic, prototypes, ridge
from advisor.heads.kind import HeadKind, HeadModule

HEADS: tuple[HeadKind, ...] = (
    ridge.KIND,
    logistic.KIND,
    prototypes.EUCLIDEAN,
    prototypes.COSINE,
    knn.KIND,
    linear.KIND,
)
KINDS: tuple[str, ...] = tuple(kind.name for kind in HEADS)
MODULES: Mapping[str, type[HeadModule]] = {kind.module.saved_as: kind.module for kind in HEADS}


def kind_of(name: str) -> HeadKind:
    """Return the kind of this name. Raises PluginError for a name that no head has."""
    for kind in HEADS:
        if kind.name == name:
            return kind
    raise PluginError(f'unknown head "{name}": expected one of {", ".join(KINDS)}.')
