"""The shared MobileNetV2 for rivals that build their networks with timm: torchvision's tensors under timm's names."""

from __future__ import annotations

from typing import Any

import torch

NETWORK = "mobilenetv2_100"


def headless(weights: str) -> Any:
    """Build timm's network without a head, with the tensors of the shared file in their order."""
    import timm

    network = timm.create_model(NETWORK, pretrained=False, num_classes=0)
    stored = torch.load(weights, weights_only=True)
    source = [v for k, v in stored.items() if "num_batches_tracked" not in k and "classifier" not in k]
    names = [k for k in network.state_dict() if "num_batches_tracked" not in k]
    state = {name: value.float() for name, value in zip(names, source, strict=True)}
    network.load_state_dict({**network.state_dict(), **state})
    return network
