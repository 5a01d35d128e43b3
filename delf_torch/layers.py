# SPDX-License-Identifier: Apache-2.0
"""Layers whose padding and statistics are the same in every framework."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from delf_common.extraction.canvas import Placement
from delf_common.extraction.receptive_field import Layer, Padding
from delf_common.weights.architectures import BATCH_NORM_MOMENTUM


class Convolution(nn.Conv2d):
    """A convolution that pads by TensorFlow's rule, or by a fixed number of cells.

    Args:
        channels: that come in.
        width: channels that go out.
        kernel: side of the window.
        stride: of the window.
        padding: "same", "valid", or cells on every side.
        groups: as many as channels for a depthwise convolution.
        bias: whether there is one.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int,
        stride: int = 1,
        padding: Padding = "same",
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        # With stride 1 an odd window is padded alike on both sides, whatever the input.
        centred = padding == "same" and stride == 1 and kernel % 2 == 1
        fixed = kernel // 2 if centred else 0
        fixed = padding if isinstance(padding, int) else fixed
        super().__init__(channels, width, kernel, stride, fixed, 1, groups, bias)
        self.dynamic = padding == "same" and not centred
        self.layer = Layer(kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        if self.dynamic:
            x = pad_same(x, self.layer)
        return super().forward(x)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that can be frozen: then training mode leaves it as it is.

    Args:
        channels: that it normalises.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__(channels, eps, BATCH_NORM_MOMENTUM)
        self.num_batches_tracked = None  # no counter: the momentum is constant
        self.frozen = False
        self.shared = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if self.training and self.shared:
            return normalise_together(x, self)
        return super().forward(x)

    def train(self, mode: bool = True) -> BatchNorm:
        """Use batch statistics and update the running ones, unless frozen."""
        super().train(mode and not self.frozen)
        return self


class MaxPool(nn.Module):
    """The 3x3 pool with stride 2 after ResNet's stem and ReLU.

    Args:
        padding: "same", "valid", or cells on every side; padding never wins the
            maximum.
    """

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        self.padding = padding if isinstance(padding, int) else 0
        self.dynamic = padding == "same"
        self.layer = Layer(3, 2, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, C, H, W)."""
        if self.dynamic:
            x = pad_same(x, self.layer, -math.inf)
        return F.max_pool2d(x, 3, 2, self.padding)


class Subsample(nn.Module):
    """Every second row and column, from the first: a 1x1 pool with stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        """Subsample (B, C, H, W) to (B, C, ceil(H / 2), ceil(W / 2))."""
        return x[:, :, ::2, ::2]


def pad_same(x: Tensor, layer: Layer, value: float = 0.0) -> Tensor:
    """Pad (B, C, H, W) so that ceil(side / stride) cells come out."""
    height, width = x.shape[-2:]
    top, bottom = same_padding(height, layer)
    left, right = same_padding(width, layer)
    return F.pad(x, (left, right, top, bottom), value=value)


def same_padding(side: int, layer: Layer) -> tuple[int, int]:
    """Cells before and after an axis; an odd total has the larger half after."""
    covered = (layer.output_side(side) - 1) * layer.stride + layer.kernel
    before = layer.before(side)
    return before, max(covered - side, 0) - before


def norm(channels: int, eps: float, folded: bool) -> nn.Module:
    """A batch norm, or nothing where it is folded into the convolution before it."""
    return nn.Identity() if folded else BatchNorm(channels, eps)


def freeze_batch_norm(module: nn.Module, frozen: bool = True) -> None:
    """Freeze every batch norm of a module, or release it."""
    for layer in module.modules():
        if isinstance(layer, BatchNorm):
            layer.frozen = frozen
            layer.train(module.training)


def put_channels_last(module: nn.Module) -> None:
    """Lay out kernels, and so the maps, with the channels last: faster convolutions."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            layout = torch.channels_last
            parameter.data = parameter.data.contiguous(memory_format=layout)


def share_batch_norm(module: nn.Module) -> None:
    """Let batch norms take the statistics of the batches of all processes."""
    for layer in module.modules():
        if isinstance(layer, BatchNorm):
            layer.shared = True


def normalise_together(x: Tensor, layer: BatchNorm) -> Tensor:
    """Batch norm over the batches of all processes, which have equal shapes.

    PyTorch's own works on CUDA only.
    """
    axes, momentum = (0, 2, 3), BATCH_NORM_MOMENTUM
    count = dist.get_world_size() * x.numel() // x.shape[1]
    mean = mean_of_all(x.float().mean(dim=axes))
    centred = x.float() - mean.view(1, -1, 1, 1)
    variance = mean_of_all(centred.square().mean(dim=axes))
    running = (layer.running_mean, layer.running_var)
    batch = (mean.detach(), variance.detach() * (count / max(count - 1, 1)))
    for old, new in zip(running, batch, strict=True):
        if old is not None:
            old.lerp_(new, momentum)
    scale = layer.weight * torch.rsqrt(variance + layer.eps)
    y = centred * scale.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)
    return y.to(x.dtype)


def mean_of_all(x: Tensor) -> Tensor:
    """Mean of a tensor over all processes, with its gradient."""
    total: Tensor = all_reduce(x)  # type: ignore[no-untyped-call]
    return total / dist.get_world_size()


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) bytes to (B, 3, H, W) float32, (pixel - 128) / 128."""
    return (images.permute(0, 3, 1, 2).to(torch.float32) - 128) / 128


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, half-pixel centres, no antialiasing; nothing for the own size."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


def lay_out(images: Tensor, placement: Placement) -> Tensor:
    """Put (B, 3, H, W) on an empty canvas, which is a mid grey, 0."""
    height, width = placement.canvas
    rows, columns = placement.pixels
    left, top = columns.start, rows.start
    right, bottom = width - columns.stop, height - rows.stop
    return F.pad(images, (left, right, top, bottom))
