"""Installed packages for tests of plugins: a folder with modules, and the metadata that an installer writes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "plugin_sample"


def install(
    site: Path, name: str, entry_points: Mapping[str, str], modules: Mapping[str, str] = {}, version: str = "1.0"
) -> Path:
    """Write a distribution into `site`, as `pip install --target` would; put `site` on sys.path to see it."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{entry} = {module}" for entry, module in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[tl_advise]", *lines, ""]))
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)
    return site


def install_sample(site: Path) -> Path:
    """Install the sample plugin of tests/plugin_sample, with the name and version that its pyproject.toml states."""
    import tomllib

    project = tomllib.loads((SAMPLE / "pyproject.toml").read_text())["project"]
    install(site, project["name"], project["entry-points"]["tl_advise"], version=project["version"])
    for file in SAMPLE.glob("*.py"):
        shutil.copy(file, site)
    return site
