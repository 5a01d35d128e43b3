# SPDX-License-Identifier: Apache-2.0
"""Layers whose padding and statistics are the same in every framework."""

from __future__ import annotations

from mindspore import Tensor, dtype, nn, ops
from mindspore.communication import get_group_size

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
        # MindSpore's "same" is TensorFlow's rule, computed for each input.
        mode = "pad" if isinstance(padding, int) else padding
        fixed = padding if isinstance(padding, int) else 0
        super().__init__(
            channels, width, kernel, stride, mode, fixed, 1, groups, has_bias=bias
        )
        self.layer = Layer(kernel, stride, padding)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that can be frozen: then training mode leaves it as it is.

    Args:
        channels: that it normalises.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__(channels, eps, 1 - BATCH_NORM_MOMENTUM)
        self.shared = False

    def construct(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if self.shared and self.training and self.use_batch_statistics is None:
            return normalise_together(x, self)
        return super().construct(x)


class MaxPool(nn.Cell):
    """The 3x3 pool with stride 2 after ResNet's stem and ReLU.

    Args:
        padding: "same", "valid", or cells on every side; padding never wins the
            maximum.
    """

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        self.padding = padding if isinstance(padding, int) else 0
        mode = "valid" if isinstance(padding, int) else padding
        self.pool = nn.MaxPool2d(3, 2, mode)
        # The gradient of MindSpore's pad is wrong from a graph's second run on (2.10,
        # CPU); this pads itself, but has no ONNX form and is slower.
        self.trained = nn.MaxPool2d(3, 2, "pad", self.padding)
        self.layer = Layer(3, 2, padding)

    def construct(self, x: Tensor) -> Tensor:
        """Pool (B, C, H, W)."""
        if self.padding and self.training:
            return self.trained(x)
        if self.padding:
            x = ops.pad(x, (self.padding,) * 4, value=float("-inf"))
        return self.pool(x)


class Subsample(nn.Cell):
    """Every second row and column, from the first: a 1x1 pool with stride 2."""

    def construct(self, x: Tensor) -> Tensor:
        """Subsample (B, C, H, W) to (B, C, ceil(H / 2), ceil(W / 2))."""
        return x[:, :, ::2, ::2]


def norm(channels: int, eps: float, folded: bool) -> nn.Cell:
    """A batch norm, or nothing where it is folded into the convolution before it."""
    return nn.Identity() if folded else BatchNorm(channels, eps)


def freeze_batch_norm(module: nn.Cell, frozen: bool = True) -> None:
    """Freeze every batch norm of a module, or release it.

    `set_train` reaches the flag ``training`` of every cell without asking the cell, so
    a frozen one is told not to look at it.
    """
    for _, layer in module.cells_and_names():
        if isinstance(layer, BatchNorm):
            layer.use_batch_statistics = False if frozen else None


def share_batch_norm(module: nn.Cell) -> None:
    """Let batch norms take the statistics of the batches of all processes."""
    for _, layer in module.cells_and_names():
        if isinstance(layer, BatchNorm):
            layer.shared = True


def normalise_together(x: Tensor, layer: BatchNorm) -> Tensor:
    """Batch norm over the batches of all processes, which have equal shapes.

    MindSpore's own works on Ascend only.
    """
    axes, momentum = (0, 2, 3), BATCH_NORM_MOMENTUM
    count = get_group_size() * x.size // x.shape[1]
    mean = mean_of_all(x.astype(dtype.float32).mean(axes))
    centred = x.astype(dtype.float32) - mean.reshape(1, -1, 1, 1)
    variance = mean_of_all((centred * centred).mean(axes))
    running = (layer.moving_mean, layer.moving_variance)
    unbiased = variance * (count / max(count - 1, 1))
    batch = (ops.stop_gradient(mean), ops.stop_gradient(unbiased))
    for old, new in zip(running, batch, strict=True):
        ops.assign(old, old + momentum * (new - old))
    scale = layer.gamma * ops.rsqrt(variance + layer.eps)
    y = centred * scale.reshape(1, -1, 1, 1) + layer.beta.reshape(1, -1, 1, 1)
    return y.astype(x.dtype)


def mean_of_all(x: Tensor) -> Tensor:
    """Mean of a tensor over all processes, with its gradient."""
    return ops.AllReduce()(x) / get_group_size()


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) of any shape, above 0.

    MindSpore's Softplus and Log1p first add the 1: 4 digits are left at -10, and none
    at -17. Here log(1 + e) is 2 artanh(e / (2 + e)), by the series of artanh, whose
    argument is at most 1/3.
    """
    small = ops.exp(-ops.abs(x))
    ratio = small / (2 + small)
    square = ratio * ratio
    series = ops.zeros_like(ratio)
    for power in (15, 13, 11, 9, 7, 5, 3, 1):
        series = series * square + 1 / power
    return ops.relu(x) + 2 * ratio * series


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) bytes to (B, 3, H, W) float32, (pixel - 128) / 128."""
    pixels = (images.to(dtype.float32) - 128) * (1 / 128)  # exact, and fast
    return pixels.permute(0, 3, 1, 2)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, half-pixel centres, no antialiasing; nothing for the own size."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return ops.interpolate(images, tuple(size), mode="bilinear", align_corners=False)


def lay_out(images: Tensor, placement: Placement) -> Tensor:
    """Put (B, 3, H, W) on an empty canvas, which is a mid grey, 0."""
    height, width = placement.canvas
    rows, columns = placement.pixels
    left, top = columns.start, rows.start
    right, bottom = width - columns.stop, height - rows.stop
    return ops.pad(images, (left, right, top, bottom))
