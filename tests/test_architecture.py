"""The architecture, as a test: every file has its place, imports go one way, and sizes stay readable.

A new file must be entered into LAYERS: below everything that it imports, in the layer that it belongs to.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS: dict[str, str] = {
    "vocabulary": "errors records.data records.plan records.settings records.trials records.result records.jobs "
    "records.offers records",
    "contract": "hooks contract",
    "decisions": "randomness metrics intervals schedules budget regime candidates promise verdict words strict_yaml "
    "recipe_check rate_range episodes recipe plots charts pages comparison_page report card listener "
    "likeness",
    "engines": "reserve cache images layouts manifests splits dataset selection target donors pixels pictures "
    "thumbnails duplicates profile download tensors weights environment requirements registry backbone "
    "allocator device trivial crops augment inference spectrum lbfgs logistic ridge prototypes heads features "
    "episode_heads evaluation predictions model_file model averaged losses terms weight_state forgetting "
    "landscape optimizers stream pixel_source prefix team feed training parity deploy export rundir "
    "sampling",
    "orchestration": "testing doctor paused sampler study workers crew database shared_study fleet sharing recruit reach "
    "contest costs source probing length first_steps portfolio proposals search compose keep judging rescoring shipped "
    "ensemble finish advice material checkpoint fitting fold_models pace stopwatch trial refit retention rank launch scoring "
    "worker agreement replay workbench rate_finder base_classes fewshot domain_statistics adapted adaptation readapt "
    "comparison arm_budget",
    "edge": "cli __main__",
}
NO_TORCH = ("vocabulary", "contract", "decisions")
GRAB_BAGS = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 40


def files(folder: str) -> list[Path]:
    """List the Python files of a package."""
    return sorted(p for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)


def unit(path: Path) -> str:
    """Name a file as the table does: packages `testing` and `cli` are one entry each."""
    parts = list(path.relative_to(ROOT / "advisor").with_suffix("").parts)
    if parts[0] in ("testing", "cli"):
        return parts[0]
    return ".".join(p for p in parts if p != "__init__") or "__init__"


def imported(path: Path) -> set[str]:
    """List the units that a file imports when it runs, inside of functions too; type checking alone does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "advisor":
            for alias in node.names:
                found.add(_resolve(f"{node.module}.{alias.name}"))
    return found - {""}


def _resolve(dotted: str) -> str:
    parts = dotted.split(".")[1:]
    if parts[0] in ("testing", "cli"):
        return parts[0]
    while parts:
        place = ROOT / "advisor" / Path(*parts)
        if place.with_suffix(".py").exists() or (place / "__init__.py").exists():
            return ".".join(parts)
        parts = parts[:-1]
    return ""


ORDER = {name: i for i, name in enumerate(" ".join(LAYERS.values()).split())}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names.split()}


def test_every_file_has_its_place() -> None:
    """The table lists every file of `advisor` once, and nothing that is not there."""
    present = {unit(p) for p in files("advisor")} - {"__init__"}
    assert present == set(ORDER)


@pytest.mark.parametrize("path", files("advisor"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """A file imports only what stands before it in the table."""
    here = unit(path)
    if here == "__init__":
        return
    upward = {name for name in imported(path) if name != here and ORDER[name] > ORDER[here]}
    assert not upward, f"{here} imports {sorted(upward)}, which stand after it"


@pytest.mark.parametrize("name", [n for n in ORDER if LAYER_OF[n] in NO_TORCH])
def test_decisions_know_nothing_of_torch(name: str) -> None:
    """Vocabulary, contract and decisions import neither torch nor optuna nor Pillow, not even late."""
    base = ROOT / "advisor" / Path(*name.split("."))
    path = base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    if name == "hooks":
        names -= {"torch"}  # for type checking alone
    assert not names & {"torch", "torchvision", "optuna", "PIL"}


@pytest.mark.parametrize("path", [*files("advisor"), *files("plugins")], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    """No file above 300 lines, no function above 40 (its docstring apart), no grab-bag names."""
    text = path.read_text(encoding="utf-8")
    assert path.stem not in GRAB_BAGS
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            assert (node.end_lineno or 0) - (start or 0) <= LONGEST_FUNCTION, node.name


def test_no_module_is_named_like_a_public_function() -> None:
    """`advisor.advise` the function and a module `advisor/advise.py` would shadow each other."""
    import advisor

    assert not [name for name in advisor.__all__ if (ROOT / "advisor" / f"{name}.py").exists()]


@pytest.mark.parametrize("plugin", ["advisor_torchvision", "advisor_strategies", "advisor_pocket"])
def test_plugins_use_only_the_public_page(plugin: str) -> None:
    """First-party plugins import what anybody's may: the hooks page, and the engines named there as public."""
    public = {"hooks", "heads", "features", "schedules", "errors"}
    for path in files(f"plugins/{plugin}"):
        if "training" in path.parts or path.stem == "pretrain":
            continue  # scripts that make the weights are no part of the plugin
        assert {name.split(".")[0] for name in imported(path)} <= public, path


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
        "import advisor.hooks, advisor.recipe, advisor.regime",
    ],
)
def test_what_needs_no_network_loads_no_torch(call: str) -> None:
    """Help, listing, reading: none of them imports torch, optuna or scikit-learn."""
    code = (
        f"{call}\nimport sys\nprint([m for m in ('torch', 'optuna', 'sklearn') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[]")
