"""The built-in backbone: its file is there, whole and small, and the network is what its record says."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import advisor_pocket

ROOT = Path(__file__).resolve().parents[2]
BACKBONE = advisor_pocket.BACKBONE


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """The network with its weights, ready to infer."""
    module = BACKBONE.build()
    BACKBONE.load_state(module, load_file(advisor_pocket.WEIGHTS_FILE))
    return module.eval()


def test_the_weights_are_the_recorded_ones() -> None:
    """The file in the package has the hash and the size that the record states."""
    content = advisor_pocket.WEIGHTS_FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == BACKBONE.weights.sha256_prefix
    assert len(content) == BACKBONE.weights.bytes


def test_the_weights_are_small_and_half_precision() -> None:
    """At most 8 MB; every real tensor is float16."""
    assert advisor_pocket.WEIGHTS_FILE.stat().st_size <= 8_000_000
    tensors = load_file(advisor_pocket.WEIGHTS_FILE)
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    assert all(t.isfinite().all() for t in tensors.values())


def test_a_cut_file_has_another_hash(tmp_path: Path) -> None:
    """Truncation and a flipped byte are both seen by the recorded hash."""
    content = advisor_pocket.WEIGHTS_FILE.read_bytes()
    flipped = content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
    for damaged in (content[: len(content) // 2], flipped):
        assert hashlib.sha256(damaged).hexdigest() != BACKBONE.weights.sha256_prefix


def test_parameters_are_as_recorded(network: torch.nn.Module) -> None:
    """The count is exact and at most four million."""
    assert sum(p.numel() for p in network.parameters()) == BACKBONE.parameters <= 4_000_000


def test_macs_are_as_recorded() -> None:
    """The multiply-adds of all convolutions at the default size are those of the record."""
    network, counted = BACKBONE.build().eval(), []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, _, out: counted.append(out[0, 0].numel() * m.weight.numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 3, BACKBONE.preprocess.size, BACKBONE.preprocess.size))
    assert sum(counted) == BACKBONE.macs


def test_stages_cover_every_tensor_once(network: torch.nn.Module) -> None:
    """Each parameter and each buffer lies under exactly one stage's prefixes."""
    prefixes = [prefix for stage in BACKBONE.stages for prefix in stage.prefixes]
    for name in network.state_dict():
        assert sum(name == p or name.startswith(p + ".") for p in prefixes) == 1, name


@pytest.mark.parametrize("size", [64, 97, 128])
def test_stages_composed_equal_forward(network: torch.nn.Module, size: int) -> None:
    """Stages one after another, then pooled, give the forward's (N, dim), at odd sizes too."""
    x = images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for index in range(len(BACKBONE.stages)):
            x = BACKBONE.run_stage(network, index, x)
        pooled = BACKBONE.pool(network, len(BACKBONE.stages) - 1, x)
        assert pooled.shape == (2, BACKBONE.dim)
        torch.testing.assert_close(pooled, network(images))


def test_features_tell_images_apart(network: torch.nn.Module) -> None:
    """Pretrained features of different images differ, which those of dead or unloaded weights would not."""
    patches = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features = network(torch.nn.functional.interpolate(patches, size=112, mode="bicubic"))
    assert (features.std(0) > 0).float().mean() > 0.5


def test_gradients_reach_the_stem() -> None:
    """A loss on the features moves the first convolution, residual branches notwithstanding."""
    network = BACKBONE.build()
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert next(network.parameters()).grad.abs().sum() > 0


def test_import_needs_no_torch() -> None:
    """Listing the plugin costs no torch."""
    code = "import sys, advisor_pocket; advisor_pocket.advisor_backbones(); sys.exit('torch' in sys.modules)"
    path = f"{ROOT}:{ROOT / 'plugins'}"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode == 0


def test_the_weights_travel_with_the_package() -> None:
    """The build configuration names the weights and the card as package data, and git does not ignore them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {"*.safetensors", "README.md"} <= set(config["tool"]["setuptools"]["package-data"]["advisor_pocket"])
    if (ROOT / ".git").exists():
        listed = ["git", "ls-files", "plugins/advisor_pocket/pocket.safetensors"]
        assert subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout


def test_the_card_states_the_weights() -> None:
    """The card beside the package is that of these weights."""
    card = (ROOT / "plugins/advisor_pocket/README.md").read_text()
    assert advisor_pocket.WEIGHTS_SHA256 in card
