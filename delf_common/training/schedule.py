# SPDX-License-Identifier: Apache-2.0
"""The learning rate of every step."""

from __future__ import annotations

import math

from delf_common.training.config import TrainConfig

# The model zoo's figures, which do not depend on max_iters (delf_spec.md section C.2).
ZOO_END = 1e-4
ZOO_STEPS = 500_000
ZOO_START_STEPS = 250_000


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of one step.

    Args:
        config: initial_lr, schedule, warmup_steps, start_iter and max_iters.
        step: number of the step, ``start_iter`` to ``max_iters``; the schedules count
            from step 1.

    Returns:
        The rate; 0 or above. "linear" is initial_lr * (1 - (step - 1) / max_iters), as
        TensorFlow's DELF (delf_spec.md section C.1).
    """
    done = (step - 1) / config.max_iters
    if config.schedule == "mindspore":
        rate = _model_zoo(config, step)
    elif config.schedule == "linear":
        rate = config.initial_lr * (1 - done)
    elif config.schedule == "cosine":
        rate = config.initial_lr * (1 + math.cos(math.pi * done)) / 2
    else:
        rate = config.initial_lr
    warm = step / config.warmup_steps if step < config.warmup_steps else 1.0
    return max(rate * warm, 0.0)


def _model_zoo(config: TrainConfig, step: int) -> float:
    """Counted from this run's first step; below 0 is cut off, unlike there."""
    start = config.initial_lr * (1 - config.start_iter / ZOO_START_STEPS)
    done = min(step - config.start_iter, ZOO_STEPS) / ZOO_STEPS
    return (start - ZOO_END) * (1 - done) + ZOO_END
