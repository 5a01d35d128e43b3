# SPDX-License-Identifier: Apache-2.0
"""AdamW with the arithmetic of PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindspore import Parameter, Tensor, dtype, nn, ops

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # PyTorch's
Group = dict[str, Any]  # "params" and their "weight_decay"


class AdamW(nn.Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    MindSpore's `AdamWeightDecay` does not correct the bias of the first steps.

    Args:
        groups: parameters with their weight decay.
        learning_rate: of all of them.
    """

    def __init__(self, groups: Sequence[Group], learning_rate: float) -> None:
        super().__init__(learning_rate, list(groups))
        self.exp_avg = self.parameters.clone("exp_avg", "zeros")
        self.exp_avg_sq = self.parameters.clone("exp_avg_sq", "zeros")
        self.step = Parameter(Tensor(0, dtype.float32), "step")
        self.decays = tuple(
            float(group["weight_decay"]) for group in groups for _ in group["params"]
        )
        self.adam = ops.Adam()

    def construct(self, gradients: Sequence[Tensor]) -> Tensor:
        """Update every parameter by its gradient."""
        rate = self.learning_rate
        step = ops.assign_add(self.step, Tensor(1, dtype.float32))
        power1, power2 = ops.pow(BETA1, step), ops.pow(BETA2, step)
        # The operator adds epsilon before it corrects the bias of the second moment.
        epsilon = EPSILON * ops.sqrt(1 - power2)
        for i in range(len(self.parameters)):
            parameter = self.parameters[i]
            if self.decays[i]:
                ops.assign(parameter, parameter * (1 - rate * self.decays[i]))
            self.adam(
                parameter,
                self.exp_avg[i],
                self.exp_avg_sq[i],
                power1,
                power2,
                rate,
                BETA1,
                BETA2,
                epsilon,
                gradients[i],
            )
        return step
