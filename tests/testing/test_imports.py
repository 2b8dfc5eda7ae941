"""The check of imports: listing a plugin must not load torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributions import install

from advisor import registry, testing


@pytest.mark.parametrize(("line", "passed"), [("", True), ("import torch", False)])
def test_a_plugin_that_imports_torch_at_the_top_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, passed: bool
) -> None:
    """Listing plugins must not cost a second: that is looked at in a process of its own."""
    source = f"""
{line}
from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

@hookimpl
def advisor_backbones():
    return [Backbone(name="b", dim=4, stages=(Stage(name="a", prefixes=("0",)),),
                     preprocess=Preprocess(size=8, resize=8), build=lambda: None)]
"""
    install(tmp_path, "stranger", {"stranger": "stranger_module"}, {"stranger_module": source})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    info = registry.PluginInfo(name="stranger", kind="backbones", distribution="stranger", version="1.0")
    check = testing.check_imports(info)
    assert check.passed is passed
    assert passed or "it imports torch" in check.detail


def test_code_that_fails_is_not_blamed_on_its_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that raises is said to raise; the advice about imports would send its author the wrong way."""
    source = """
from advisor.hooks import hookimpl

class Failing:
    name, regime, card = "failing", "full", "Fails."
    def applies(self, context):
        return 1 / 0
    first_guesses = plan = applies
    def space(self, trial, context):
        return {}
    def plan(self, parameters, context):
        return None

@hookimpl
def advisor_strategies():
    return [Failing()]
"""
    install(tmp_path, "stranger", {"stranger": "failing_module"}, {"failing_module": source})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    info = registry.PluginInfo(name="stranger", kind="strategies", distribution="stranger", version="1.0")
    check = testing.check_imports(info)
    assert check.detail == "listing it and planning with its strategies failed: ZeroDivisionError: division by zero"
