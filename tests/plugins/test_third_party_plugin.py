"""A third-party backbone, from installation to a recipe that names it: the plugin of the documentation, used for real."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from distributions import install_sample
from photos import write_crops
from safetensors.torch import save_file

CALL = [sys.executable, "-m", "advisor"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages in which the sample plugin is installed, as pip would leave it."""
    return install_sample(tmp_path / "site")


@pytest.fixture
def weights(tmp_path: Path, site: Path) -> Path:
    """A folder with the sample's weights file, which its author would publish."""
    torch.manual_seed(0)
    network = runpy.run_path(str(site / "tiny_backbone.py"))["build"]()
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(network.state_dict(), folder / "tiny-backbone.safetensors")
    return folder


def test_a_strangers_backbone_goes_all_the_way(tmp_path: Path, site: Path, weights: Path) -> None:
    """Listed, chosen with --backbone, named with its version in the recipe; without it the rerun says what is missing."""
    data, out = write_crops(tmp_path / "crops", classes=2, each=12), tmp_path / "run"
    with_plugin = {**os.environ, "PYTHONPATH": str(site)}
    listed = subprocess.run([*CALL, "plugins"], env=with_plugin, capture_output=True, text=True, check=True).stdout
    assert "tl-advise-tiny" in listed
    call = [*CALL, "advise", str(data), "--trials", "2", "--backbone", "tiny", "--strategy", "logistic", "--offline"]
    call += ["--weights-dir", str(weights), "--out", str(out), "--quiet"]
    done = subprocess.run(call, env=with_plugin, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    used = yaml.safe_load((out / "recipe.yaml").read_text(encoding="utf-8"))["backbone"]
    assert used["name"] == "tiny"
    assert used["plugin"] == {"distribution": "tl-advise-tiny", "version": "1.2.3"}
    again = [*CALL, "rerun", str(out), "--verify", "--offline"]
    without = subprocess.run([*again, "--weights-dir", str(weights)], capture_output=True, text=True, timeout=200)
    assert without.returncode == 2
    assert "tl-advise-tiny 1.2.3" in without.stderr
    verified = subprocess.run(
        [*again, "--weights-dir", str(weights)], env=with_plugin, capture_output=True, text=True, timeout=200
    )
    assert verified.returncode == 0, verified.stderr
