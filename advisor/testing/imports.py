"""Check that a plugin does not import torch early: its import, hooks and planning run in a process of their own.

In: a plugin as the registry lists it. Out: one check. A fresh process is needed because torch, once imported,
cannot be attributed to the plugin. Does NOT cover: what the plugin offers (`backbones`,
`strategies`).
"""

from __future__ import annotations

import subprocess
import sys

from advisor.errors import RuleError
from advisor.registry import PluginInfo
from advisor.testing.checks import Check, run

_TIMEOUT_S = 120
_HEAVY = 9  # exit code of the process where something was imported that must not be
_SCRIPT = """
import sys
from advisor import registry
from advisor.testing import contexts
found = registry.load(select=[sys.argv[1]], guarded=False)
for name, strategy in found.strategies.items():
    for context in contexts.variety():
        if strategy.applies(context) is None:
            strategy.plan(strategy.first_guesses(context)[0], context)
            strategy.plan(strategy.space(contexts.Draws(seed=0), context), context)
heavy = sorted({m for m in ("torch", "torchvision", "sklearn", "scipy") if m in sys.modules})
sys.stderr.write(f"it imports {', '.join(heavy)}" if heavy else "")
sys.exit(HEAVY if heavy else 0)
""".replace("HEAVY", str(_HEAVY))


def check(plugin: PluginInfo) -> Check:
    """Check one installed plugin."""
    return run("lists and plans without torch", lambda: _rule(plugin))


def _rule(plugin: PluginInfo) -> str | None:
    command = [sys.executable, "-c", _SCRIPT, plugin.name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuleError(f"importing it takes more than {_TIMEOUT_S} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        if done.returncode == _HEAVY:
            raise RuleError(f"{last}; import them inside the functions that need them")
        raise RuleError(f"listing it and planning with its strategies failed: {last}")
    return None
