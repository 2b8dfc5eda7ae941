"""torch's compiler stays out of processes that do not compile, and is there for those that do."""

from __future__ import annotations

import subprocess
import sys

import pytest

WORKER = """
import sys
import torch
from advisor.models import backbone
from advisor.runtime import lean_imports
from advisor import registry
lean_imports.stand_in_for_compiler()
plugins = registry.load()
sizes = backbone.stage_sizes(plugins.backbone("mobilenet_v2"))
network = backbone.build(plugins.backbone("mobilenet_v2"))
for kind in (torch.optim.SGD, torch.optim.AdamW):
    optimizer = kind(network.parameters(), lr=0.1)
    network(torch.zeros(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
assert sum(size.parameters for size in sizes) == sum(p.numel() for p in network.parameters())
assert "sympy" not in sys.modules and "torch._dynamo.utils" not in sys.modules
"""
USES = {
    "export": "graph = torch.export.export(torch.nn.Linear(2, 1), (torch.zeros(1, 2),))\nassert graph.module() is not None",
    "submodule": "import torch._dynamo.utils\nassert torch._dynamo.utils.is_compile_supported('cpu') in (True, False)",
    "attribute": "assert torch._dynamo.config.cache_size_limit > 0",
    "reset": "torch.compiler.reset()",
    "operator": "import torchvision\n"
    "boxes = [torch.tensor([[0.0, 0.0, 2.0, 2.0]])]\n"
    "assert torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), boxes, 1).item() == 1.0",
}


def run(script: str) -> None:
    """Run a script in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("use", USES)
def test_a_worker_trains_without_the_compiler_and_finds_it_when_it_is_used(use: str) -> None:
    """Describing, building and training import neither the compiler nor sympy; whatever else uses them gets the real ones."""
    run(WORKER + USES[use])
