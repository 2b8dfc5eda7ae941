"""The list of heads is complete and consistent."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.heads import registry
from advisor.heads.kind import HeadKind, TrainingRows
from advisor.records import Head


@pytest.mark.parametrize("kind", registry.HEADS, ids=lambda kind: kind.name)
def test_a_kind_returns_the_module_that_it_names(kind: HeadKind) -> None:
    """What `fit` returns is of the class that the kind names, and is rebuilt from its own state dict."""
    labels = np.repeat(np.arange(3), 4)
    features = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32) + labels[:, None]
    rows = TrainingRows(features=features, labels=labels, classes=3)
    module = kind.fit(Head(kind=kind.name), rows)
    assert type(module) is kind.module is registry.MODULES[module.saved_as]
    again = kind.module.from_tensors(module.state_dict())
    assert all(np.array_equal(again.state_dict()[name], value) for name, value in module.state_dict().items())


def test_an_unknown_kind_is_an_error_that_lists_the_known_ones() -> None:
    """The message names every kind."""
    with pytest.raises(InputError, match="unknown head") as error:
        registry.kind_of("forest")
    listed = str(error.value).partition("expected one of ")[2]
    assert {"ridge", "logistic", "prototypes", "cosine_prototypes", "knn", "linear"} <= set(
        listed.rstrip(".").split(", ")
    )
