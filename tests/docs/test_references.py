"""What a user is told to read is something that an installed package has, or a page of the documentation by its title."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ") for page in ROOT.glob("docs/*.md")}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
HELD = re.compile(r"\bdocs/[a-z]|\bbenchmarks/[a-z]|\b(?:CONTRIBUTING|CHANGELOG)\.md")


def shown_texts(tree: ast.Module) -> Iterator[str]:
    """Yield every text of a module except docstrings, which only who reads the code sees; those of commands are `--help`."""
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr):
            is_command = any("command" in ast.unparse(d) for d in getattr(node, "decorator_list", ()))
            if not is_command:
                docstrings.add(node.body[0].value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.value


@pytest.mark.parametrize("package", ["advisor", *sorted(p.name for p in (ROOT / "plugins").glob("advisor_*"))])
def test_messages_name_no_file_of_the_repository(package: str) -> None:
    """Errors, help and cards name a command, or a page as `documentation: "TITLE"`, whose title is that of a page."""
    folder = ROOT / package if package == "advisor" else ROOT / "plugins" / package
    texts = [
        (file.relative_to(ROOT), " ".join(text.split()))
        for file in sorted(folder.rglob("*.py"))
        for text in shown_texts(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert [(file, text) for file, text in texts if HELD.search(text)] == []
    titles = [title for _, text in texts for title in re.findall(r'documentation: "([^"]+)"', text)]
    assert [title for title in titles if title not in PAGES] == []
    assert titles or package != "advisor"


def test_templates_of_pages_name_no_file_of_the_repository() -> None:
    """A report or model card that is sent to somebody refers to nothing that they lack."""
    files = [file for file in (ROOT / "advisor").rglob("*") if file.suffix in (".j2", ".html", ".js")]
    assert files
    assert [file.name for file in files if HELD.search(file.read_text(encoding="utf-8"))] == []
