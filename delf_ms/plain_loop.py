# SPDX-License-Identifier: Apache-2.0
"""The plainest training loop on the same network, which `delf bench train` times."""

from __future__ import annotations

import time

import mindspore as ms
from mindspore import Tensor, nn, ops

from delf_common.training.config import TrainConfig
from delf_common.training.open_records import open_records
from delf_common.training.plain_batches import read_batches
from delf_common.training.start import starting_checkpoint, trained
from delf_ms.classifiers import load_trainable
from delf_ms.device import choose_device
from delf_ms.layers import normalise
from delf_ms.optimizer import trained_parameters
from delf_ms.parameters import canonical_tensors
from delf_ms.stages import cross_entropy

WARM_UP = 2  # steps that are not timed


def run_plain_loop(config: TrainConfig) -> float:
    """Train as a first script would, for ``max_iters`` steps.

    One photograph after another is read, cropped and resized by Pillow between the
    steps; every step waits for its loss. The frozen backbone of "attn" is only spared
    its gradients. MindSpore's documented loop: gradients and update in one function,
    compiled.

    Returns:
        Steps a second, after the first two.
    """
    source = open_records(config.traindata_path, config.num_classes)
    choose_device(config.device)
    checkpoint = starting_checkpoint(config, source.num_classes)
    delf = load_trainable(checkpoint, folded=False)
    for name, tensor in canonical_tensors(delf).items():
        learned = tensor.requires_grad and trained(name, config)
        tensor.requires_grad = learned
    learned = list(trained_parameters(delf).values())
    optimizer = nn.Momentum(learned, config.initial_lr, config.momentum)
    delf.set_train(config.backbone_trains)
    delf.attention.set_train()
    classifier = "desc" if config.backbone_trains else "attn"
    classify = delf.classifiers[classifier]

    def compute_loss(images: Tensor, labels: Tensor) -> Tensor:
        features = delf.backbone(normalise(images))
        return cross_entropy(classify(features), labels)[0]

    compute = ms.value_and_grad(compute_loss, None, optimizer.parameters)

    def train_step(images: Tensor, labels: Tensor) -> Tensor:
        loss, gradients = compute(images, labels)
        optimizer(ops.clip_by_global_norm(gradients, config.clip_norm))
        return loss

    compiled = ms.jit(train_step)
    batches = read_batches(source, config)
    begin = time.perf_counter()
    for step in range(config.max_iters):
        if step == WARM_UP:
            begin = time.perf_counter()
        images, labels = next(batches)
        compiled(Tensor(images), Tensor(labels)).asnumpy()
    return (config.max_iters - WARM_UP) / (time.perf_counter() - begin)
