# SPDX-License-Identifier: Apache-2.0
"""The plainest training loop on the same network, which `delf bench train` times."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from delf_common.training.config import TrainConfig
from delf_common.training.cropping import draw_box
from delf_common.training.open_records import open_records
from delf_common.training.records import RecordSource
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


def read_batches(
    source: RecordSource, config: TrainConfig
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Shuffled batches (B, S, S, 3) and (B,), without end."""
    rng = np.random.default_rng(config.seed)
    size = (config.image_size,) * 2
    while True:
        chosen = rng.integers(len(source), size=config.batch_size)
        crops, labels = [], []
        for index in chosen:
            record = source[int(index)]
            picture = Image.open(io.BytesIO(record.image)).convert("RGB")
            top, left, tall, wide = draw_box(picture.height, picture.width, rng)
            part = picture.crop((left, top, left + wide, top + tall))
            crops.append(np.asarray(part.resize(size, Image.Resampling.BILINEAR)))
            labels.append(record.label)
        yield np.stack(crops), np.array(labels, np.int64)
