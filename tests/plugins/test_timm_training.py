"""A network of each kind of timm the whole way in one process: trained, stopped and resumed, repeated, merged, exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import runs
import torch
from small_network import COMPUTE, digits
from torch import nn

from advisor import registry
from advisor.exporting import run_export
from advisor.hooks import Phase, Term, TrainPlan
from advisor.models import backbone as engine
from advisor.models.classifier import Classifier
from advisor.training import loop as training

pytest.importorskip("timm")
KINDS = ("timm/test_vit2", "timm/test_efficientnet")  # tokens with registers; a chain with BatchNorm
LORA = Term(
    function="advisor_strategies.low_rank:adapt", numbers={"rank": 2.0, "alpha": 4.0, "attention": 1.0, "mlp": 1.0}
)


@pytest.fixture(scope="module", autouse=True)
def described_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Descriptions are kept for the whole module, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TL_ADVISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in KINDS:
            registry.load().backbone(name)


def make(name: str, adapter: Term | None = None) -> training.Loop:
    """Begin a run of all stages on small digits."""
    backbone = registry.load().backbone(name)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        head = nn.Linear(backbone.dim, 10)
    only = "adapter" if adapter else "all"
    stages = backbone.stages[1:] if adapter else backbone.stages
    phase = Phase(rates={stage.name: 1e-3 for stage in stages}, head_rate=1e-2, only=only)
    plan = TrainPlan(phases=(phase,), steps=4, batch=8, adapter=adapter)
    classifier = Classifier(backbone=backbone, body=engine.build(backbone, seed=3), head=head)
    return training.Loop(classifier, plan, digits(), size_px=16, seed=0, compute=COMPUTE)


@pytest.mark.parametrize("name", KINDS)
def test_repeated_and_resumed_runs_have_the_same_bits(name: str) -> None:
    """Two runs, and one that goes on from a state after two steps, end with equal weights; they did move."""
    whole, again, first, second = (make(name) for _ in range(4))
    start = {n: v.clone() for n, v in whole.classifier.state_dict().items()}
    list(whole.run())
    list(again.run())
    list(first.run(2))
    second.load_state_dict({k: (v.copy() if isinstance(v, dict) else v) for k, v in first.state_dict().items()})
    list(second.run())
    one, *others = (loop.finish().state_dict() for loop in (whole, again, second))
    assert any(not torch.equal(value, start[n]) for n, value in one.items() if n.startswith("body."))
    for other in others:
        assert all(torch.equal(value, other[n]) for n, value in one.items())


def test_low_rank_updates_of_a_transformer_merge_exactly() -> None:
    """Features before and after merging differ by less than 1e-5, and training has changed them."""
    loop = make("timm/test_vit", LORA)  # without the layer scale of test_vit2, which nearly mutes its blocks
    start = features(loop)
    list(loop.run())
    trained = features(loop)
    loop.finish()
    merged = features(loop)
    assert float((trained - start).abs().max()) > 1e-3
    assert float((merged - trained).abs().max()) < 1e-5


def features(loop: training.Loop) -> torch.Tensor:
    """Return the features of four fixed images."""
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return loop.classifier.body.eval()(images)


@pytest.mark.parametrize("name", KINDS)
def test_an_export_agrees_with_predict(name: str, tmp_path: Path) -> None:
    """The exported graph gives the classes and probabilities of `predict` on the run's images."""
    run = runs.make(tmp_path, name)
    exported = run_export.export(run, "torch", registry=registry.load())
    assert exported.parity.worst <= exported.parity.tolerance
