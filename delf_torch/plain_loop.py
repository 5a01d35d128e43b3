# SPDX-License-Identifier: Apache-2.0
"""The plainest training loop on the same network, which `delf bench train` times."""

from __future__ import annotations

import time

import torch

from delf_common.training.config import TrainConfig
from delf_common.training.open_records import open_records
from delf_common.training.plain_batches import read_batches
from delf_common.training.start import starting_checkpoint, trained
from delf_torch.classifiers import load_trainable
from delf_torch.device import choose_device
from delf_torch.layers import normalise
from delf_torch.parameters import canonical_tensors
from delf_torch.stages import cross_entropy

WARM_UP = 2  # steps that are not timed


def run_plain_loop(config: TrainConfig) -> float:
    """Train as a first script would, for ``max_iters`` steps.

    One photograph after another is read, cropped and resized by Pillow between the
    steps; every step waits for its loss. The frozen backbone of "attn" is only spared
    its gradients.

    Returns:
        Steps a second, after the first two.
    """
    source = open_records(config.traindata_path, config.num_classes)
    device = choose_device(config.device)
    checkpoint = starting_checkpoint(config, source.num_classes)
    delf = load_trainable(checkpoint, folded=False).to(device)
    for name, tensor in canonical_tensors(delf).items():
        if isinstance(tensor, torch.nn.Parameter):
            tensor.requires_grad_(trained(name, config))
    learned = [tensor for tensor in delf.parameters() if tensor.requires_grad]
    optimizer = torch.optim.SGD(learned, config.initial_lr, config.momentum)
    delf.train(config.backbone_trains)
    delf.attention.train()
    classifier = "desc" if config.backbone_trains else "attn"
    classify = delf.classifiers[classifier]
    batches = read_batches(source, config)
    begin = time.perf_counter()
    for step in range(config.max_iters):
        if step == WARM_UP:
            begin = time.perf_counter()
        images, labels = next(batches)
        features = delf.backbone(normalise(torch.from_numpy(images).to(device)))
        logits = classify(features)
        loss, _ = cross_entropy(logits, torch.from_numpy(labels).to(device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(learned, config.clip_norm)
        optimizer.step()
        loss.item()
    return (config.max_iters - WARM_UP) / (time.perf_counter() - begin)
