"""advisor.models.weight_ops: copies, averages and digests of a network's weights."""

from __future__ import annotations

import torch
from small_network import changed, classifier, weights

from advisor.models import weight_ops


def test_copies_go_back_bit_for_bit() -> None:
    """What was copied and put back is what it was; counters are left alone."""
    network = classifier()
    before = weights(network)
    copy = weight_ops.copy(network)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(1)
    weight_ops.put(copy, network)
    counters = {name for name in before if name.endswith("num_batches_tracked")}
    assert counters
    assert changed(before, weights(network)) == counters


def test_lerp_is_a_moving_average_with_a_warm_start() -> None:
    """After a step the average is old x decay + new x (1 - decay), with a small decay in the first steps."""
    network = classifier()
    zero = {name: torch.zeros_like(value) for name, value in weight_ops.floats(network).items()}
    weight_ops.lerp(zero, network, 0.99, 0)
    torch.testing.assert_close(zero["head.weight"], network.head.weight.detach() * 0.9)
    ones = {name: torch.zeros_like(value) for name, value in weight_ops.floats(network).items()}
    weight_ops.lerp(ones, network, 0.99, 10_000)
    torch.testing.assert_close(ones["head.weight"], network.head.weight.detach() * 0.01)


def test_digests_tell_networks_apart_and_layouts_not() -> None:
    """Equal weights have equal digests in any memory layout; one changed bit changes it."""
    first, second = classifier(), classifier()
    second.to(memory_format=torch.channels_last)
    assert weight_ops.digest(first) == weight_ops.digest(second)
    with torch.no_grad():
        second.body.layer_1[1].running_mean[0] += 1e-3
    assert weight_ops.digest(first) != weight_ops.digest(second)
