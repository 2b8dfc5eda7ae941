"""The architecture, as a test: packages in the order of their imports, no torch where none belongs, plugins outside.

A file imports from its own package or from one that stands before it in `ORDER`; a new file needs no entry here.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source_files import ROOT, files

# From the bottom up. Names on one line may not import each other.
ORDER = (
    "safe_text _version aliases",
    "errors",
    "records",
    "metrics",
    "hooks schedules",
    "runtime",
    "plugin_validation",
    "plugin_loading",
    "plugin_guard",
    "registry",
    "data",
    "heads reporting",
    "tracking",
    "models",
    "insight",
    "exporting",
    "features",
    "training",
    "testing",
    "execution",
    "tuning",
    "selection",
    "advice",
    "workflows",
    "serving",
    "_arguments",
    "_calls",
    "__init__",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names.split()}
NO_TORCH = ("records", "metrics", "data", "reporting")
NO_TORCH_FILES = (
    "errors.py",
    "aliases.py",
    "hooks.py",
    "schedules.py",
    "registry.py",
    "plugin_validation.py",
    "plugin_loading.py",
    "plugin_guard.py",
)
MOST_MODULES = 15


def package(dotted: str) -> str:
    """Return the entry of `ORDER` that a dotted name below `advisor` belongs to: its package, or the file itself."""
    parts = dotted.split(".")[1:]
    return parts[0] if parts and parts[0] in RANK else "__init__"


def dotted(path: Path) -> str:
    """Return a file's module name."""
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def imported(path: Path, *, typing_only: bool = True) -> set[str]:
    """List the dotted names below `advisor` that a file imports, inside functions too, and for type checking too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_only
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "advisor" and node not in skipped:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import) and node not in skipped:
            names |= {alias.name for alias in node.names if alias.name.split(".")[0] == "advisor"}
    return names


def test_every_package_has_its_place() -> None:
    """`ORDER` lists every package and file at the top of `advisor`, and nothing that is not there."""
    present = {p.stem for p in (ROOT / "advisor").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert present == set(RANK)


def test_the_tree_of_the_readme_is_in_the_order_of_imports() -> None:
    """No package of the README's tree, `advice` at its top aside, imports one that the tree shows below it."""
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("```text")[1].split("```")[0]
    shown = re.findall(r"^  ([a-z_]+)(?:\.py|/)", tree, flags=re.MULTILINE)
    assert shown[0] == "advice"
    row = {name: number for number, name in enumerate(shown[1:])}
    below = {
        (package(dotted(path)), package(name))
        for path in files("advisor")
        for name in imported(path)
        if package(dotted(path)) in row and row.get(package(name), -1) > row[package(dotted(path))]
    }
    assert not below


@pytest.mark.parametrize("path", files("advisor"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """A file imports only from its own package and from those before it, type annotations included."""
    here = package(dotted(path))
    if here == "__init__":
        return
    upward = {name for name in imported(path) if package(name) != here and RANK[package(name)] >= RANK[here]}
    assert not upward, f"{dotted(path)} imports {sorted(upward)}, which stand after it"


def test_no_import_goes_round() -> None:
    """No cycle between files, imports for type checking aside."""
    graph: dict[str, set[str]] = {}
    for path in files("advisor"):
        graph[dotted(path)] = {_module(name) for name in imported(path, typing_only=False)} - {dotted(path), "advisor"}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in graph.get(name, set()):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def _module(name: str) -> str:
    base = ROOT / Path(*name.split("."))
    is_module = base.with_suffix(".py").exists() or (base / "__init__.py").exists()
    return name if is_module else name.rpartition(".")[0]


@pytest.mark.parametrize("path", [p for p in files("advisor") if p.parent.name in NO_TORCH or p.name in NO_TORCH_FILES])
def test_what_decides_and_tells_knows_nothing_of_torch(path: Path) -> None:
    """Records, metrics, data, reporting and the hooks import neither torch nor optuna, not even late."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    if path.name == "hooks.py":
        names -= {"torch"}  # for type checking alone
    assert not names & {"torch", "torchvision", "optuna"}


def test_packages_stay_small() -> None:
    """At most so many modules in a package; `cli` has one file for every command."""
    for folder in {p.parent for p in files("advisor")}:
        if folder.name != "cli":
            assert len([p for p in folder.glob("*.py") if p.stem != "__init__"]) <= MOST_MODULES, folder


@pytest.mark.parametrize("folder", sorted({p.parent for p in files("advisor")}), ids=lambda p: p.name)
def test_packages_say_what_they_own(folder: Path) -> None:
    """The docstring of a package is one sentence or more."""
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))


def test_no_module_is_named_like_a_public_function() -> None:
    """A function `advisor.advise` and a module `advise` in `advisor` would shadow each other."""
    import advisor

    assert not [name for name in advisor.__all__ if (ROOT / "advisor" / f"{name}.py").exists()]


def public_names() -> dict[str, set[str]]:
    """Read the public modules and their names from the table of docs/plugins.md."""
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(advisor\.[a-z_.]+)` \| (.+) \|$", text, flags=re.MULTILINE)
    return {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows}


def test_the_page_for_authors_names_what_is_public() -> None:
    """docs/plugins.md lists the public modules, each with exactly the names in its `__all__`."""
    listed = public_names()
    assert set(listed) == {"advisor.hooks", "advisor.schedules", "advisor.features", "advisor.heads", "advisor.testing"}
    for module, names in listed.items():
        assert names == set(importlib.import_module(module).__all__), module


@pytest.mark.parametrize("path", files("plugins"), ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_import_only_public_names(path: Path) -> None:
    """First-party plugins import what any plugin may, type annotations included; of the errors, those that they raise."""
    if "training" in path.parts or path.stem == "pretrain":
        return  # scripts that make the weights are not part of the plugin
    public = {f"{module}.{name}" for module, names in public_names().items() for name in names}
    public |= set(public_names()) | {"advisor.errors.PluginError", "advisor.errors.InputError"}
    assert imported(path) <= public


def test_the_core_never_names_a_plugin() -> None:
    """`advisor` finds plugins by their entry points alone."""
    for path in files("advisor"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                assert not [n for n in names if n.startswith("advisor_")], path


@pytest.mark.parametrize(
    "call",
    [
        "import advisor",
        "from advisor.cli import run; run(['--help'])",
        "from advisor.cli import run; run(['advise', '--help'])",
        "from advisor.cli import run; run(['plugins'])",
        "import advisor.hooks, advisor.records.recipe, advisor.tuning.regime",
    ],
)
def test_what_needs_no_network_loads_no_torch(call: str) -> None:
    """Help, listing, reading: none of them imports torch, optuna or scikit-learn."""
    code = (
        f"{call}\nimport sys\nprint([m for m in ('torch', 'optuna', 'sklearn') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[]")
