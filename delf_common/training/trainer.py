# SPDX-License-Identifier: Apache-2.0
"""The seam of training: what a backend does, and what the neutral run asks of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delf_common.training.config import TrainConfig
from delf_common.weights.checkpoint import Checkpoint
from delf_common.weights.metadata import TrainingState
from delf_common.weights.names import Params

Inputs = NDArray[Any]  # (B, S, S, 3) uint8 crops, or (B, C, h, w) float32 features
Labels = NDArray[np.int64]  # (B,)
Metrics = dict[str, float]


class World(Protocol):
    """The processes that train together, one for each device."""

    @property
    def rank(self) -> int:
        """Which of them this is; only rank 0 writes."""

    @property
    def size(self) -> int:
        """How many there are."""

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum an array over all processes; every process must call it."""


class Trainer(Protocol):
    """A network with its losses and its optimiser, on one device."""

    def step(self, inputs: Inputs, labels: Labels, learning_rate: float) -> None:
        """Train on one batch; does not wait for the device."""

    def take_metrics(self) -> list[Metrics]:
        """Losses, accuracies and gradient norm of every step since the last call.

        Means over the batches of all processes; every process must call it.
        """

    def count_correct(self, inputs: Inputs, labels: Labels) -> dict[str, int]:
        """How many photographs each classifier ("desc", "attn") gets right."""

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frozen features (B, C, h, w) of crops, which `step` takes in their place."""

    def attention(self, inputs: Inputs) -> NDArray[np.float32]:
        """(B, h, w) attention, as the network has it now."""

    def params(self) -> Params:
        """Canonical parameters, copied to the host."""

    def optimizer_state(self) -> dict[str, NDArray[np.float32]]:
        """What the optimiser remembers, as `TrainingState.optimizer`."""

    @property
    def loss_scale(self) -> float:
        """Of mixed precision, 1 without."""

    def profile(self, folder: Path) -> AbstractContextManager[None]:
        """Write a trace of the steps inside into a folder."""


class TrainerFactory(Protocol):
    """Makes a backend's trainer."""

    def __call__(
        self,
        checkpoint: Checkpoint,
        state: TrainingState | None,
        config: TrainConfig,
        world: Any,
    ) -> Trainer:
        """Put a checkpoint on the device; ``state`` continues its optimiser."""
