# SPDX-License-Identifier: Apache-2.0
"""The training step on PyTorch: forward, backward, clip, update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from delf_common.errors import UsageError
from delf_common.training.config import TrainConfig
from delf_common.training.run import run_training
from delf_common.training.start import trained
from delf_common.training.trainer import Inputs, Labels, Metrics
from delf_common.weights.checkpoint import Checkpoint
from delf_common.weights.metadata import TrainingState
from delf_common.weights.names import Params
from delf_torch.classifiers import load_trainable
from delf_torch.distributed import World, join_world
from delf_torch.layers import put_channels_last, share_batch_norm
from delf_torch.optimizer import (
    clip_gradients,
    get_state,
    make_optimizer,
    put_state,
    trained_parameters,
)
from delf_torch.parameters import canonical_tensors, to_host
from delf_torch.precision import choose_precision
from delf_torch.stages import METRICS, Stage


def train(config: TrainConfig) -> Path:
    """Train one stage; see `delf_common.training.run.run_training`."""
    if config.pipeline != "shared":
        raise UsageError(f"--pipeline {config.pipeline} needs --backend ms")
    with join_world(config.device) as world:
        return run_training(config, world, TorchTrainer)


class TorchTrainer:
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
        self.delf.to(self.device)
        if config.channels_last:
            put_channels_last(self.delf)
        self.stage = Stage(self.delf, config)
        self.parameters = trained_parameters(self.delf)
        self.optimizer = make_optimizer(config, self.parameters)
        scales = self.precision == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scales)
        self.model = self._prepare()
        self.pending: list[Tensor] = []
        torch.backends.cudnn.deterministic = True  # a resumed run gives the same bits
        if state is not None:
            self._restore(state)

    def step(self, inputs: Inputs, labels: Labels, learning_rate: float) -> None:
        """Train on one batch; does not wait for the device."""
        self.stage.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        metrics = self._backward(self._upload(inputs), self._upload(labels))
        self.scaler.unscale_(self.optimizer)
        found = [tensor.grad for tensor in self.parameters.values()]
        gradients = [gradient for gradient in found if gradient is not None]
        norm = clip_gradients(gradients, self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.pending.append(torch.cat([metrics, norm.reshape(1).to(metrics.dtype)]))

    def take_metrics(self) -> list[Metrics]:
        """Metrics of every step since the last call, means over the processes."""
        if not self.pending:
            return []
        rows = torch.stack(self.pending).double().cpu().numpy()
        self.pending = []
        means = self.world.sum(rows) / self.world.size
        names = (*METRICS, "gradient_norm")
        there = [name for name in names if self._has(name)]
        return [
            {name: float(row[names.index(name)]) for name in there} for row in means
        ]

    def count_correct(self, inputs: Inputs, labels: Labels) -> dict[str, int]:
        """How many photographs each classifier gets right, without training."""
        self.stage.eval()
        wanted = self._upload(labels)
        with torch.no_grad():
            features = self.stage.features(self._upload(inputs))
            return {
                name: int((classify(features).argmax(dim=1) == wanted).sum())
                for name, classify in self.delf.classifiers.items()
            }

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frozen features (B, C, h, w) of crops."""
        self.stage.eval()
        with torch.no_grad():
            features = self.stage.features(self._upload(images))
            return to_host(features)

    def attention(self, inputs: Inputs) -> NDArray[np.float32]:
        """(B, h, w) attention, as the network has it now."""
        self.stage.eval()
        with torch.no_grad():
            features = self.stage.features(self._upload(inputs))
            return to_host(self.delf.attention(features))

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
        return float(self.scaler.get_scale())

    @contextmanager
    def profile(self, folder: Path) -> Iterator[None]:
        """Write the steps inside as a Chrome trace, ``trace.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        with torch.profiler.profile() as profiler:
            yield
        profiler.export_chrome_trace(str(folder / "trace.json"))

    def _prepare(self) -> torch.nn.Module:
        """Wrap the stage for several processes, and compile it."""
        model: torch.nn.Module = self.stage
        if self.world.size > 1:
            share_batch_norm(self.delf)
            devices = [self.device] if self.device.type == "cuda" else None
            model = DistributedDataParallel(
                model, devices, broadcast_buffers=False, gradient_as_bucket_view=True
            )
        if self.config.compile:
            model.compile()
        return model

    def _backward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Accumulate the gradients of a batch, part by part; the mean metrics."""
        parts = self.config.accumulate_steps
        metrics = []
        pairs = zip(inputs.chunk(parts), labels.chunk(parts), strict=True)
        for i, (part, wanted) in enumerate(pairs, 1):
            with self._gradients_stay_here(i < parts), self._autocast():
                loss, measured = self.model(part, wanted)
            with self._gradients_stay_here(i < parts):
                self.scaler.scale(loss / parts).backward()
            metrics.append(measured)
        return torch.stack(metrics).mean(dim=0)

    def _gradients_stay_here(self, yes: bool) -> AbstractContextManager[None]:
        """Several processes exchange gradients once a step, with its last part."""
        if yes and isinstance(self.model, DistributedDataParallel):
            return self.model.no_sync()
        return nullcontext()

    def _autocast(self) -> torch.autocast:
        mixed = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=mixed)

    def _upload(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _has(self, metric: str) -> bool:
        if metric.startswith("desc"):
            return self.config.backbone_trains
        return not metric.startswith("attn") or self.config.attention_trains

    def _restore(self, state: TrainingState) -> None:
        put_state(self.optimizer, self.parameters, state.optimizer)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(
                {**self.scaler.state_dict(), "scale": state.loss_scale}
            )
