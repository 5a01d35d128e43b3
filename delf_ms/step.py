# SPDX-License-Identifier: Apache-2.0
"""One step as one graph: forward, backward, clipping and update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, dtype, nn, ops
from numpy.typing import NDArray

from delf_common.training.config import TrainConfig
from delf_ms.optimizer import clip_gradients
from delf_ms.stages import METRICS, Stage

GROWTH, BACKOFF, PATIENCE = 2.0, 0.5, 2000.0  # of the loss scale, as PyTorch's
FIRST_SCALE = 65536.0


class LossScale(nn.Cell):
    """Keeps small fp16 gradients from rounding to 0; fits torch.amp.GradScaler.

    Args:
        enabled: False is a scale of 1 that never moves.
    """

    def __init__(self, enabled: bool) -> None:
        super().__init__(auto_prefix=False)
        self.enabled = enabled
        first = FIRST_SCALE if enabled else 1.0
        self.value = Parameter(Tensor(first, dtype.float32), "loss_scale", False)
        self.quiet = Parameter(Tensor(0, dtype.float32), "quiet_steps", False)

    def adjust(self, finite: Tensor) -> None:
        """Halve after an overflow, double after many steps without."""
        quiet = ops.select(finite, self.quiet + 1, ops.zeros_like(self.quiet))
        grows = quiet >= PATIENCE
        grown = ops.select(grows, self.value * GROWTH, self.value)
        ops.assign(self.value, ops.select(finite, grown, self.value * BACKOFF))
        ops.assign(self.quiet, ops.select(grows, ops.zeros_like(quiet), quiet))


class Step(nn.Cell):
    """Trains on the last part of a batch, after `Part` saw those before it.

    Args:
        stage: computes the loss.
        optimizer: updates the parameters.
        scale: of the loss.
        config: clipping, and into how many parts a batch is cut.
        size: processes that train together.
    """

    def __init__(
        self,
        stage: Stage,
        optimizer: nn.Optimizer,
        scale: LossScale,
        config: TrainConfig,
        size: int,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.scale = scale
        self.part = Part(stage, optimizer, scale, config.accumulate_steps)
        self.limit = config.clip_norm
        self.size = size
        self.all_reduce = ops.AllReduce() if size > 1 else None

    def construct(self, inputs: Tensor, labels: Tensor, rate: Tensor) -> Tensor:
        """Update; the five `METRICS` of this part, and the gradients' norm.

        The learning rate is put in its place here: a graph that has run once does not
        see what is set from outside.
        """
        ops.assign(self.optimizer.learning_rate, rate)
        metrics, gradients = self.part.gradients(inputs, labels)
        gradients = self._mean_of_all(gradients)
        gradients, norm = clip_gradients(gradients, self.limit)
        self._update(gradients, norm)
        return ops.concat([metrics, norm.reshape(1)])

    def _mean_of_all(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Take the loss scale out, and the mean over the processes."""
        if self.all_reduce is not None:
            gradients = tuple([self.all_reduce(g) / self.size for g in gradients])
        if self.scale.enabled:
            gradients = tuple([g / self.scale.value for g in gradients])
        return gradients

    def _update(self, gradients: tuple[Tensor, ...], norm: Tensor) -> None:
        """A step whose scaled gradients overflow is left out."""
        if self.scale.enabled:
            finite = ops.isfinite(norm)
            if finite:
                self.optimizer(gradients)
            self.scale.adjust(finite)
        else:
            self.optimizer(gradients)


class Part(nn.Cell):
    """Gradients of one part of a batch, kept until the last part comes.

    Args:
        stage: computes the loss.
        optimizer: whose parameters have gradients.
        scale: of the loss.
        parts: into how many a batch is cut.
    """

    def __init__(
        self, stage: Stage, optimizer: nn.Optimizer, scale: LossScale, parts: int
    ) -> None:
        super().__init__(auto_prefix=False)
        self.stage = stage
        self.scale = scale
        self.parts = parts
        self.weights = optimizer.parameters
        self.kept: Any = ()
        if parts > 1:
            self.kept = self.weights.clone("kept", "zeros")

    def construct(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Keep the gradients of a part; its five `METRICS`."""
        metrics, gradients = self._compute(inputs, labels)
        for i in range(len(gradients)):
            ops.assign_add(self.kept[i], gradients[i])
        return metrics

    def gradients(
        self, inputs: Tensor, labels: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Metrics of the last part, and the gradients of all."""
        metrics, gradients = self._compute(inputs, labels)
        if self.parts > 1:
            totals = [self.kept[i] + gradients[i] for i in range(len(gradients))]
            for kept in self.kept:
                ops.assign(kept, ops.zeros_like(kept))
            gradients = tuple(totals)
        return metrics, gradients

    def _compute(
        self, inputs: Tensor, labels: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        def scaled(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            loss, metrics = self.stage(inputs, labels)
            return loss * (self.scale.value / self.parts), metrics

        compute = ms.value_and_grad(scaled, None, self.weights, has_aux=True)
        (_, metrics), gradients = compute(inputs, labels)
        return metrics, gradients


def compile_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for each shape that comes; with ``MS_JIT=0`` run operator by operator."""

    def run(*inputs: Tensor) -> Any:
        return function(*inputs)

    return ms.jit(run)


def mean_row(parts: list[Tensor]) -> NDArray[np.float64]:
    """Mean metrics of a step's parts, and the gradients' norm, which the last has."""
    rows = [np.asarray(part.asnumpy(), np.float64) for part in parts]
    means = np.mean([row[: len(METRICS)] for row in rows], axis=0)
    return np.append(means, rows[-1][-1])
