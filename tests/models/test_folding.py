"""BatchNorm folded into convolutions: the same function, and left alone where it would be another one."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from small_network import CLASSES, Small, backbone
from torch import nn

from advisor import registry
from advisor.heads.linear_head import LinearHead
from advisor.hooks import Backbone
from advisor.models import backbone as backbones
from advisor.models import folding
from advisor.models.classifier import Classifier

SIDE = 64


def classifier(backbone: Backbone, body: nn.Module, *, mirror: bool = False) -> Classifier:
    """Return a classifier whose BatchNorm layers have drawn statistics, so that none is the identity."""
    torch.manual_seed(0)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    head = LinearHead(torch.randn(CLASSES, backbone.dim) * 0.1, torch.randn(CLASSES))
    return Classifier(backbone, body, head, mirror=mirror).eval()


def norms(module: nn.Module) -> int:
    """Count the BatchNorm layers."""
    return sum(isinstance(m, nn.BatchNorm2d) for m in module.modules())


def assert_same_function(made: Classifier, original: Classifier) -> None:
    """Compare with the original in double precision, in both layouts of memory."""
    images = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        truth = copy.deepcopy(original).double()(images.double())
        for layout in (torch.contiguous_format, torch.channels_last):
            answers = copy.deepcopy(made).to(memory_format=layout)(images.contiguous(memory_format=layout))
            torch.testing.assert_close(answers.double(), truth, rtol=1e-4, atol=1e-5 * float(truth.abs().max()))


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "resnet18", "densenet121", "shufflenet_v2_x1_0", "efficientnet_lite0", "pocket"]
)
def test_a_folded_network_is_the_same_function_and_the_original_is_untouched(name: str) -> None:
    """Networks of several families, one with convolutions that pad by themselves, one with BatchNorm in front."""
    chosen = registry.load().backbone(name)
    original = classifier(chosen, backbones.build(chosen))
    before = {key: tensor.clone() for key, tensor in original.state_dict().items()}
    made = folding.folded(original, SIDE)
    assert norms(made) < norms(original)
    assert_same_function(made, original)
    assert all(torch.equal(before[key], tensor) for key, tensor in original.state_dict().items())


def test_a_mirrored_head_passes_the_network_twice_and_is_folded_all_the_same() -> None:
    """Every convolution is seen twice in one answer."""
    original = classifier(backbone(), Small(), mirror=True)
    made = folding.folded(original, SIDE)
    assert norms(made) == 0
    assert_same_function(made, original)


class Past(nn.Module):
    """What the convolution gives goes into its BatchNorm and, past it, into a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.convolution(x)
        return torch.relu(y + self.norm(y))


class Shared(nn.Module):
    """One convolution in front of two BatchNorm layers."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.convolution = nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 16, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(16), nn.BatchNorm2d(16)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.widen(x)
        for norm in self.norms:
            y = norm(self.convolution(y))
        return torch.relu(y)


class Uncopied(nn.Sequential):
    """A block that cannot be copied, as one that holds a lock."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())

    def __deepcopy__(self, memo: dict[int, object]) -> Uncopied:
        raise TypeError("cannot pickle '_thread.lock' object")


class Bounded(nn.Sequential):
    """A convolution whose output is bounded in place in front of BatchNorm: strong responses alone are changed."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self[1](self[0](x).clamp_(-4.0, 4.0)))


class Branched(Past):
    """Strong responses go past BatchNorm too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.convolution(x)
        return torch.relu(self.norm(y)) + torch.relu(y - 1.0)


def hooked() -> nn.Module:
    """Return a block of which someone bounds the output of BatchNorm by a hook."""
    block = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
    block[1].register_forward_hook(lambda module, inputs, output: output.clamp(max=4.0))
    return block


@pytest.mark.parametrize("block", [Bounded, hooked])
def test_convolutions_whose_output_is_changed_on_the_way_are_left(block: Callable[[], nn.Module]) -> None:
    """Noise alone does not reach the bound, so that numbers would not tell; the other blocks are folded."""
    body = Small()
    body.layer_11 = block()
    original = classifier(backbone(), body)
    made = folding.folded(original, SIDE)
    assert norms(made) == 1
    images = 20 * torch.randn(3, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(made(images), original(images), rtol=1e-4, atol=1e-4)


def test_a_head_of_constant_answers_hides_no_difference() -> None:
    """The features are compared: novelty is measured on them, and a vote of neighbours may not tell."""
    body = Small()
    body.layer_11 = Past()
    original = classifier(backbone(), body)
    original.head = LinearHead(torch.zeros(CLASSES, backbone().dim), torch.zeros(CLASSES))
    assert folding.folded(original, SIDE) is original


@pytest.mark.parametrize("block", [Past, Branched, Shared, Uncopied])
def test_what_cannot_be_folded_keeps_its_function(block: Callable[[], nn.Module]) -> None:
    """Folded, the first would be another function, and the second would fold one convolution twice."""
    body = Small()
    body.layer_11 = block()
    original = classifier(backbone(), body)
    made = folding.folded(original, SIDE)
    if block is Shared:  # the other blocks of the network are folded
        assert norms(made) == 2
    else:
        assert made is original
    images = torch.randn(3, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(made(images), original(images), rtol=1e-4, atol=1e-5)
