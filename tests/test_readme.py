"""What README.md says is so: generated parts are up to date, commands exist, the tree names real modules."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")


def test_generated_parts_are_up_to_date() -> None:
    """`python docs/write.py` has nothing left to write into README.md and docs/start.md."""
    code = "import sys; sys.path.insert(0, 'docs'); from write import ARE_CURRENT as fine; sys.exit(not fine)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^\$ tl-advise ([a-z-]+)", README + START, flags=re.M))))
def test_commands_in_the_readme_exist(name: str) -> None:
    """Every command that the README shows is one, or the name of the data set of the one real output."""
    output = (ROOT / "docs" / "output.txt").read_text(encoding="utf-8")
    assert name in COMMANDS or output.startswith(f"$ tl-advise {name} ")


def test_the_tree_is_the_one_on_disk() -> None:
    """The README's tree lists every package of `advisor`, and only files and packages that are there."""
    tree = README.split("```text")[1].split("```")[0]
    listed = set(re.findall(r"^  ([a-z_]+(?:\.py|/))", tree, flags=re.M))
    packages = {f"{p.name}/" for p in (ROOT / "advisor").iterdir() if (p / "__init__.py").exists()}
    assert packages <= listed
    assert not [name for name in listed if not (ROOT / "advisor" / name).exists()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    """`--help` works for each command, quickly, and shows how it is called."""
    done = subprocess.run([sys.executable, "-m", "advisor", name, "--help"], capture_output=True, text=True, check=True)
    assert f"tl-advise {name}" in done.stdout


def test_the_version_is_one() -> None:
    """`pyproject.toml`, the package and the citation name the same version."""
    import tomllib

    from advisor._version import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
