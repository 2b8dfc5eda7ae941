"""The commands of benchmarks that pages show can be typed as they stand: no required option is missing, none is unknown."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("benchmarks/*/*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
)
COMMAND = re.compile(r"`python (benchmarks/[^`]+)`|^ *(?:\$ )?python (benchmarks/[^`#\n]+)", re.MULTILINE)
PARSED = ("required", "nargs", "action", "dest")  # what decides which words a parser takes; types and choices do not


def commands() -> list[tuple[str, str]]:
    """List (page, command) in the order of the pages; optional parts count as given."""
    listed = []
    for page in PAGES:
        for inline, line in COMMAND.findall(page.read_text(encoding="utf-8")):
            listed.append((page.name, re.sub(r"[\[\]]", "", " ".join((inline or line).split()))))
    return sorted(set(listed))


def parser_of(script: Path) -> argparse.ArgumentParser:
    """Build a parser from the script's own calls of `add_argument`, without importing it."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument"):
            continue
        names = [str(ast.literal_eval(argument)) for argument in node.args]
        options: dict[str, Any] = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg in PARSED}
        parser.add_argument(*names, **options)
    return parser


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda text: text)
def test_the_command_has_what_its_script_requires(page: str, command: str) -> None:
    """Each command gives the required options of its script, and only options that its folder knows."""
    name, *words = shlex.split(command)
    script = ROOT / name
    _, unused = parser_of(script).parse_known_args(words)
    files = (*script.parent.glob("*.py"), *ROOT.glob("benchmarks/*/ledger.py"))
    around = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [word for word in unused if word.startswith("--") and f'"{word.partition("=")[0]}"' not in around] == []


def test_commands_are_seen() -> None:
    """Commands in sentences and in blocks of code are both checked."""
    shown = [command.split()[0] for _, command in commands()]
    assert "benchmarks/serve/run.py" in shown
    assert "benchmarks/search/simulate.py" in shown
