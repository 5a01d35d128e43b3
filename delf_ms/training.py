# SPDX-License-Identifier: Apache-2.0
"""The training step on MindSpore: forward, backward, clip, update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, dtype
from numpy.typing import NDArray

from delf_common.training.config import TrainConfig
from delf_common.training.run import run_training
from delf_common.training.start import trained
from delf_common.training.trainer import Inputs, Labels, Metrics
from delf_common.weights.checkpoint import Checkpoint
from delf_common.weights.metadata import TrainingState
from delf_common.weights.names import Params
from delf_ms.classifiers import load_trainable
from delf_ms.distributed import World, join_world
from delf_ms.layers import share_batch_norm
from delf_ms.optimizer import (
    get_state,
    make_optimizer,
    put_state,
    trained_parameters,
)
from delf_ms.parameters import canonical_tensors, to_host
from delf_ms.precision import choose_precision, mix_precision
from delf_ms.stages import METRICS, Stage
from delf_ms.step import LossScale, Step, compile_graph, mean_row


def train(config: TrainConfig) -> Path:
    """Train one stage; see `delf_common.training.run.run_training`."""
    with join_world(config.device) as world:
        if config.pipeline == "minddataset":
            from delf_ms.mind_dataset import MindStreams

            return run_training(config, world, MsTrainer, MindStreams)
        return run_training(config, world, MsTrainer)


class MsTrainer:
    """A network with its losses and its optimiser; fits `Trainer`.

    Args:
        checkpoint: where to start.
        state: continues an optimiser; None starts a new one.
        config: the whole configuration.
        world: this process among those that train together.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        state: TrainingState | None,
        config: TrainConfig,
        world: World,
    ) -> None:
        self.config = config
        self.world = world
        self.device = world.device
        self.fixed = checkpoint.params
        self.precision = choose_precision(config.precision, self.device)
        self.delf = load_trainable(checkpoint, folded=not config.backbone_trains)
        self.stage = Stage(self.delf, config)
        self.parameters = trained_parameters(self.delf)
        self.optimizer = make_optimizer(config, self.parameters)
        self.scaler = LossScale(self.precision == dtype.float16)
        self.pending: list[list[Tensor]] = []
        with suppress(RuntimeError):  # MindSpore takes this once in a process
            ms.set_deterministic(True)  # a resumed run gives the same bits
        self._prepare()
        if state is not None:
            self._restore(state)

    def step(self, inputs: Inputs, labels: Labels, learning_rate: float) -> None:
        """Train on one batch; does not wait for the device."""
        self._set_train(True)
        rate = Tensor(learning_rate, dtype.float32)
        parts = self.config.accumulate_steps
        *early, last = zip(
            np.split(inputs, parts), np.split(labels, parts), strict=True
        )
        metrics = [self.run_part(*self._batch(*part)) for part in early]
        self.pending.append([*metrics, self.run_step(*self._batch(*last), rate)])

    def take_metrics(self) -> list[Metrics]:
        """Metrics of every step since the last call, means over the processes."""
        if not self.pending:
            return []
        rows = np.stack([mean_row(step) for step in self.pending])
        self.pending = []
        means = self.world.sum(rows) / self.world.size
        names = (*METRICS, "gradient_norm")
        there = [name for name in names if self._has(name)]
        return [
            {name: float(row[names.index(name)]) for name in there} for row in means
        ]

    def count_correct(self, inputs: Inputs, labels: Labels) -> dict[str, int]:
        """How many photographs each classifier gets right, without training."""
        self._set_train(False)
        features = self._features(inputs)
        return {
            name: int((classify(features).asnumpy().argmax(axis=1) == labels).sum())
            for name, classify in self.run_classifiers.items()
        }

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frozen features (B, C, h, w) of crops."""
        self._set_train(False)
        return to_host(self._features(images))

    def attention(self, inputs: Inputs) -> NDArray[np.float32]:
        """(B, h, w) attention, as the network has it now."""
        self._set_train(False)
        return to_host(self.run_attention(self._features(inputs)))

    def params(self) -> Params:
        """Canonical parameters; those that are not trained as they came in."""
        trained_now = {
            name: to_host(tensor)
            for name, tensor in canonical_tensors(self.delf).items()
            if trained(name, self.config)
        }
        return self.fixed | trained_now

    def optimizer_state(self) -> dict[str, NDArray[np.float32]]:
        """What the optimiser remembers."""
        return get_state(self.optimizer, self.parameters)

    @property
    def loss_scale(self) -> float:
        """Of fp16, 1 otherwise."""
        return float(self.scaler.value.asnumpy())

    @contextmanager
    def profile(self, folder: Path) -> Iterator[None]:
        """Write the steps inside as a Chrome trace, ``trace.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        ready = ms.profiler.tensorboard_trace_handler(str(folder))
        with ms.profiler.profile(on_trace_ready=ready):
            yield
        for trace in sorted(folder.rglob("trace_view.json")):
            trace.replace(folder / "trace.json")

    def _prepare(self) -> None:
        """Compile what runs on the device, each when it is first called."""
        if self.world.size > 1:
            share_batch_norm(self.delf)
        step = Step(
            self.stage, self.optimizer, self.scaler, self.config, self.world.size
        )
        if self.precision != dtype.float32:
            mix_precision(self.stage, self.precision)
        self.run_step = compile_graph(step)
        self.run_part = compile_graph(step.part)
        self.run_features = compile_graph(self.stage.features)
        self.run_attention = compile_graph(self.delf.attention)
        self.run_classifiers = {
            name: compile_graph(classify)
            for name, classify in self.delf.classifiers.items()
        }

    def _batch(self, inputs: Inputs, labels: Labels) -> tuple[Tensor, Tensor]:
        """On the device; a frozen backbone is run here, as a graph of its own."""
        if self.config.backbone_trains:
            return self._upload(inputs), self._upload(labels)
        return self._features(inputs), self._upload(labels)

    def _set_train(self, mode: bool) -> None:
        """A frozen batch norm keeps its statistics all the same."""
        self.stage.set_train(mode)

    def _features(self, inputs: Inputs) -> Tensor:
        """Images to features on the device; features as they are."""
        uploaded = self._upload(inputs)
        return self.run_features(uploaded) if inputs.dtype == np.uint8 else uploaded

    def _upload(self, array: NDArray[Any]) -> Tensor:
        return Tensor(np.ascontiguousarray(array))

    def _has(self, metric: str) -> bool:
        if metric.startswith("desc"):
            return self.config.backbone_trains
        return not metric.startswith("attn") or self.config.attention_trains

    def _restore(self, state: TrainingState) -> None:
        put_state(self.optimizer, self.parameters, state.optimizer)
        if self.scaler.enabled:
            self.scaler.value.set_data(Tensor(state.loss_scale, dtype.float32))
