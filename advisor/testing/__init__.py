"""The public conformance kit: check that a backbone, a strategy or a layout meets the contract of `advisor.hooks`.

`tl-advise plugins check NAME` runs it, and a plugin author's own tests can:

    from advisor import testing
    assert all(check.passed for check in testing.check_backbone(my_backbone))

Every check is named after its rule, and a failed one says what is wrong. Nothing is downloaded.
"""

from __future__ import annotations

from advisor.hooks import Backbone, Layout, Strategy
from advisor.registry import PluginInfo
from advisor.testing.checks import Check

__all__ = ["Check", "check_backbone", "check_imports", "check_layout", "check_strategy"]


def check_backbone(backbone: Backbone, *, offline: bool = True, size_px: int | None = None) -> list[Check]:
    """Check every rule for backbones, on images of `size_px` (the backbone's own size by default).

    Pretrained weights are read where they are available; with `offline=False` they may be fetched first.
    """
    from advisor.testing import backbones

    return backbones.check(backbone, offline=offline, size_px=size_px)


def check_strategy(strategy: Strategy) -> list[Check]:
    """Check every rule for strategies, in a variety of contexts, and train a tiny network by its first guess."""
    from advisor.testing import strategies

    return strategies.check(strategy)


def check_layout(layout: Layout) -> list[Check]:
    """Check every rule for layouts, on the layout's own example and on data that it must leave to others."""
    from advisor.testing import layouts

    return layouts.check(layout)


def check_imports(plugin: PluginInfo) -> Check:
    """Check, in a process of its own, that listing a plugin and planning with its strategies imports no torch."""
    from advisor.testing import imports

    return imports.check(plugin)
