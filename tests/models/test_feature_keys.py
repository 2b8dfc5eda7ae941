"""Features read from the cache are those of the code that would compute them now: a plugin's, timm's, torchvision's."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_network as small

from advisor import plugin_guard, registry
from advisor.models import backbone as backbones
from advisor.models import features
from advisor.records import ForwardSpec
from advisor.runtime.cache import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def extract(store: Store, **changes: Any) -> features.Pooled:
    """Features of 20 digits by the small network."""
    backbone = changes.pop("backbone", small.backbone())
    module, spec = backbones.build(small.backbone(), seed=1), ForwardSpec(backbone.preprocess, 12, small.COMPUTE)
    canvas = small.digits(20).canvas
    return features.extract(backbone, module, canvas, spec, weights_key="w", item_key="i", store=store, **changes)


EDITED = """
import small_network
from dataclasses import replace

class Small(small_network.Small):
    pass

def pool(module, i, x):
    return x.{how}((2, 3))

backbone = replace(small_network.backbone(), build=Small, pool=pool)
"""


def test_a_network_that_its_author_edits_has_its_own_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another `pool` under the same name, weights and version gives its own features; the same code reads them back."""
    store, values, passes = Store(tmp_path / "cache"), [], []
    for folder, how in (("one", "mean"), ("two", "amax"), ("three", "mean")):
        package = tmp_path / folder / "edited_network"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "network.py").write_text(EDITED.format(how=how))
        monkeypatch.syspath_prepend(package.parent)
        for name in ("edited_network", "edited_network.network"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        edited = plugin_guard.guarded_backbone(importlib.import_module("edited_network.network").backbone, "plugin x")
        calls: list[int] = []
        pooled = extract(store, backbone=edited, progress=lambda done, total, calls=calls: calls.append(done))
        values.append(pooled.values)
        passes.append(bool(calls))
    assert not np.array_equal(values[0], values[1])
    assert np.array_equal(values[0], values[2])
    assert passes == [True, True, False]


def test_the_version_of_a_plugin_and_of_what_builds_its_network_is_in_the_key(tmp_path: Path) -> None:
    """A new version of the plugin misses the cache; timm and torchvision count for the networks that they build."""
    store = Store(tmp_path)
    extract(store, origin=("tl-advise-x", "1.0"))
    calls: list[int] = []
    extract(store, origin=("tl-advise-x", "1.1"), progress=lambda done, total: calls.append(done))
    assert calls
    plugins = registry.load()
    for name, library in (("mobilenet_v2", "torchvision"), ("pocket", None)):
        backbone = plugins.backbone(name)
        module, canvas = backbones.build(backbone, seed=1), small.digits(3).canvas
        spec = ForwardSpec(backbone.preprocess, 32, small.COMPUTE)
        made_by = features.key_fields(backbone, module, canvas, spec, weights_key="w", item_key="i", flip=False)[
            "network"
        ]
        assert {n for n in ("timm", "torchvision") if n in made_by} == ({library} if library else set())
