"""Several devices at one training step: who takes which images, and what they agree on.

In: a rank and a size. Out: a rank's slice of the global batch, gradients averaged over all images by torch's
DistributedDataParallel, BatchNorm statistics over the whole batch, and values that rank 0 alone computes. One device is
a group of one, for which nothing here changes a bit. Does NOT cover: starting the processes (`execution.elastic`).
Source: Ioffe and Szegedy 2015 (1502.03167) for the statistics, here over all ranks' images together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """One process's place among those that train together: `rank` of `size`; rank 0 evaluates and writes."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that evaluates and writes."""
        return self.rank == 0

    @property
    def is_single(self) -> bool:
        """Whether there are no others."""
        return self.size == 1

    @property
    def seed_suffix(self) -> tuple[int, ...]:
        """What sets this rank's draws inside the network (dropout) apart; nothing on the first."""
        return () if self.is_first else (self.rank,)

    def slice_of(self, images: int) -> slice:
        """Return this rank's images of a global batch; the first ranks take one more where it does not divide evenly."""
        each, more = divmod(images, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def scale_loss(self, loss: torch.Tensor, shard_images: int, images: int) -> torch.Tensor:
        """Scale the mean loss over `shard_images` images so that the mean over ranks is the mean over all `images`."""
        return loss if self.is_single else loss * (self.size * shard_images / images)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Average a scalar over the ranks."""
        if self.is_single:
            return value
        total = value.detach().double().cpu()
        torch.distributed.all_reduce(total)
        return total / self.size

    def broadcast(self, compute: Callable[[], T]) -> T:
        """Compute a value on rank 0 and broadcast it to all ranks. Where `compute` raises, rank 0 must end its process."""
        if self.is_single:
            return compute()
        box: list[Any] = [compute() if self.is_first else None]
        torch.distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        value: T = box[0]
        return value

    def parallel(self, forward: Callable[[], torch.Tensor], *modules: nn.Module) -> Callable[[], torch.Tensor]:
        """Wrap a forward pass through these modules so that its gradients are averaged over the ranks.

        Call it anew whenever other parameters begin to train: what is averaged is settled here.
        """
        # A parameter that no rank's loss reaches keeps no gradient, so that weight decay does not move it either.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch renames broadcast_buffers; older ones know no other
            return nn.parallel.DistributedDataParallel(
                _Pass(forward, modules), broadcast_buffers=False, find_unused_parameters=True
            )


SINGLE_PROCESS = ProcessGroup()


class _Pass(nn.Module):
    """A forward pass as a module, so that torch knows which parameters belong to it."""

    def __init__(self, forward: Callable[[], torch.Tensor], modules: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.inside = nn.ModuleList(modules)
        self._forward = forward

    def forward(self) -> torch.Tensor:
        """Compute the loss."""
        return self._forward()


def synchronise(module: nn.Module, group: ProcessGroup, device: torch.device) -> None:
    """Replace every BatchNorm by one with batch statistics over all ranks' images; names and tensors stay."""
    if group.is_single:
        return
    for owner in list(module.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(owner, name, _synchronised(child, device))


def _synchronised(norm: nn.modules.batchnorm._BatchNorm, device: torch.device) -> nn.Module:
    # torch's own serves GPUs alone, and DistributedDataParallel refuses it elsewhere.
    kind = nn.SyncBatchNorm if device.type == "cuda" else SharedBatchNorm
    new = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    new._parameters.update(norm._parameters)
    new._buffers.update(norm._buffers)
    return new.train(norm.training)


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm whose batch is that of all ranks together, on any device."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, ...) by mean and variance over all ranks' images, by the running ones in eval mode."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.ndim)]
        x = input.float()
        count = _Sum.apply(x.new_tensor(float(x.numel() / x.shape[1])))
        mean_C = _Sum.apply(x.sum(axes)) / count
        centred = x - mean_C.view(shape)
        variance_C = _Sum.apply(centred.square().sum(axes)) / count
        self._remember(mean_C.detach(), variance_C.detach(), count)
        scaled = centred * torch.rsqrt(variance_C + self.eps).view(shape)
        if self.affine:
            scaled = scaled * self.weight.view(shape) + self.bias.view(shape)
        normed: torch.Tensor = scaled.to(input.dtype)
        return normed

    def _remember(self, mean_C: torch.Tensor, variance_C: torch.Tensor, count: torch.Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance_C * (count / (count - 1).clamp_min(1))
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


class _Sum(torch.autograd.Function):
    """A sum over the ranks. Every rank's loss depends on it, so the gradients of all of them are summed as well."""

    @staticmethod
    def forward(ctx: Any, addend: torch.Tensor) -> torch.Tensor:
        total = addend.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        total = grads[0].contiguous().clone()
        torch.distributed.all_reduce(total)
        return total
