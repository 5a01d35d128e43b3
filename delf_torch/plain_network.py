# SPDX-License-Identifier: Apache-2.0
"""The network as a first script would run it, which `delf bench network` times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from delf_common.protocols import DenseMaps, Images, Size
from delf_common.weights.architectures import feature_channels, receptive_field
from delf_common.weights.checkpoint import load_checkpoint
from delf_torch.delf import build_delf
from delf_torch.device import choose_device
from delf_torch.layers import normalise, resize
from delf_torch.network import TorchMaps
from delf_torch.parameters import put_params


class PlainNetwork:
    """Plain eager PyTorch: batch norms by themselves, PyTorch's own settings.

    Args:
        weights: a path, or the name of embedded weights.
        device: "auto", "cpu", "cuda:N"; of CUDA PyTorch's settings round to TF32.
    """

    def __init__(self, weights: str | Path, device: str = "cpu") -> None:
        checkpoint = load_checkpoint(weights)
        self.info = checkpoint.info
        self.receptive_field = receptive_field(self.info)
        self.channels = feature_channels(self.info)
        self.delf = build_delf(self.info).eval()
        put_params(self.delf, checkpoint.params)
        self.device = choose_device(device)
        self.delf.to(self.device)

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run every pyramid level; see `delf_common.protocols.FeatureNetwork`."""
        with torch.inference_mode():
            pixels = torch.tensor(np.ascontiguousarray(images), device=self.device)
            pixels = normalise(pixels).contiguous()
            outputs = [self.delf(resize(pixels, size)) for size in sizes]
            return [TorchMaps(features, attention) for features, attention in outputs]
