"""The rules of `CONTRIBUTING.md` for readable code, as tests: sizes, names, docstrings, and citations of files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from source_files import ROOT, files

# Names that say nothing of what they hold.
EMPTY_NAMES = {"told", "found", "place", "kept", "known", "answer", "wanted"}
# Verbs that open a docstring without saying what a function does; "Give" may be Return, Write or Assign.
EMPTY_VERBS = {
    "Ask", "Bring", "Do", "Give", "Hand", "Have", "Keep", "Lay", "Learn", "Let", "Look", "Put", "Say", "Take", "Tell"
}  # fmt: skip
GRAB_BAGS = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 40


@pytest.mark.parametrize(
    "path",
    [p for folder in ("advisor", "plugins", "benchmarks", "tests") for p in files(folder)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_and_functions_stay_readable(path: Path) -> None:
    """No file above 300 lines, no function above 40 (docstrings and tests/support apart), no grab-bag names."""
    text = path.read_text(encoding="utf-8")
    assert path.stem not in GRAB_BAGS
    assert len(text.splitlines()) <= LONGEST_FILE
    if path.parent == ROOT / "tests" / "support":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            assert (node.end_lineno or 0) - (start or 0) <= LONGEST_FUNCTION, node.name


@pytest.mark.parametrize(
    "path",
    [p for folder in ("advisor", "plugins", "benchmarks", "tests") for p in files(folder)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_local_names_are_readable(path: Path) -> None:
    """Variables and parameters are named after what they hold; fields of records may keep a name that files contain."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    fields = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        for inner in ast.walk(statement)
    }
    names = {
        node.id if isinstance(node, ast.Name) else node.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
        if id(node) not in fields
    }
    assert not names & EMPTY_NAMES


@pytest.mark.parametrize(
    "path",
    [p for folder in ("advisor", "plugins", "benchmarks") for p in files(folder)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_docstrings_have_one_form(path: Path) -> None:
    """A function's opens with a verb that means something; headers have one wording; exceptions follow "Raises"."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    docstrings = {node.name: ast.get_docstring(node) or "" for node in functions}
    assert not [name for name, docstring in docstrings.items() if docstring.split(" ")[0] in EMPTY_VERBS]
    assert not [name for name, docstring in docstrings.items() if "Raises:" in docstring]
    header = " ".join((ast.get_docstring(tree) or "").split())
    assert set(re.findall(r"(?i)does not cover:?|not covered:", header)) <= {"Does NOT cover:"}


def test_documentation_names_files_that_exist() -> None:
    """A Python file that a page, docstring or comment cites is in the repository, where the citation says."""
    folders = ("advisor", "plugins", "tests", "benchmarks", "docs")
    listed = [*ROOT.glob("*.md"), *(p for folder in folders for p in (ROOT / folder).rglob("*.*"))]
    paths = {f"/{p.relative_to(ROOT).as_posix()}" for p in listed} | {"/example.py", "/rivals/NAME.py", "/unpack.py"}
    cited = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in listed
        if path.suffix in (".md", ".py") and path.is_file()
        for name in re.findall(r"(?<![\w\"'/.-])/?([\w]+[\w/]*\.py)\b(?![\"'])", path.read_text(encoding="utf-8"))
    }
    assert [(page, name) for page, name in sorted(cited) if not any(p.endswith(f"/{name}") for p in paths)] == []


def dotted(path: Path) -> str:
    """Return a file's module name, from the folder of the repository on."""
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


HEADED = [p for folder in ("advisor", "plugins") for p in files(folder)]
MODULES = {dotted(path) for path in HEADED}
PACKAGES = {dotted(path) for path in HEADED if path.stem == "__init__"}
NAME = r"`[a-z_][a-z_0-9]*(?:\.[a-z_0-9]+)*`"


def modules_of(name: str, here: str) -> set[str]:
    """List what a name may mean as seen from `here`: a module of the same package, or one with its path below `advisor`."""
    package = ".".join(here.split(".")[:2]) + "."
    inside = {m for m in MODULES if m.startswith(package) and m.endswith("." + name)}
    return (inside | ({name, f"advisor.{name}", f"plugins.{name}"} & MODULES)) - {here}


def is_cited_rightly(name: str, here: str) -> bool:
    """Tell whether a name is a module's, or that of something in one (`pixels.canvas`)."""
    return bool(modules_of(name, here) or modules_of(name.rpartition(".")[0], here) - PACKAGES)


@pytest.mark.parametrize("path", HEADED, ids=lambda p: str(p.relative_to(ROOT)))
def test_headers_name_modules_that_exist(path: Path) -> None:
    """In a header, a name in brackets is a module (`random_crop`, `data.pixels`) or, before "Does NOT cover", its own.

    A module is named so, not by its file, unless a program beside it is meant.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    header, here = " ".join((ast.get_docstring(tree) or "").split()), dotted(path)
    own = {
        getattr(node, "name", None) or getattr(node, "arg", None) or getattr(node, "id", "") for node in ast.walk(tree)
    }
    covers, _, outside = header.partition("Does NOT cover:")
    nothing_else = rf"\(((?:{NAME}(?:, | and )?)+)\)"
    cited = {name for bracket in re.findall(nothing_else, covers) for name in re.findall(NAME, bracket)}
    cited -= {f"`{name}`" for name in own}
    cited |= {name for bracket in re.findall(r"\(([^()]*)\)", outside) for name in re.findall(NAME, bracket)}
    names = {name.strip("`") for name in cited if not name.endswith(".csv`")}
    unknown = {name for name in names if not is_cited_rightly(name, here)}
    unknown |= set(re.findall(r"\(([a-z_]+\.py)\b", outside)) - {p.name for p in path.parent.glob("*.py")}
    assert not unknown, f"{here} refers to {sorted(unknown)}; write a module's path, such as `data.pixels`"
