# SPDX-License-Identifier: Apache-2.0
"""Written files beside the network they came from, before anybody sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor
from numpy.typing import NDArray

from delf_common.config import ExportConfig
from delf_common.extraction.levels import draw_level
from delf_common.weights.comparing import check_pictures, check_sizes
from delf_common.weights.differences import Difference, difference
from delf_ms.export_forms import canvases_of, input_shape
from delf_ms.graph import Graph
from delf_ms.network import MsNetwork

OUTPUTS = ("attention", "features")


def check_any_size(network: MsNetwork, path: Path) -> list[Difference]:
    """Compare a file without canvases at several sizes, two pictures each."""
    graph = Graph(path, "cpu")
    found = []
    for size in check_sizes(network):
        level = draw_level(check_pictures(), size)
        found += _compare(network, size, level, graph(level))
    return found


def check_fixed(
    network: MsNetwork, path: Path, config: ExportConfig
) -> list[Difference]:
    """Compare a file for canvases on every one of them."""
    canvases = canvases_of(config)
    shape = input_shape(config, canvases)
    graph = Graph(path, "cpu", dynamic=None in shape)
    pictures = check_pictures()
    repeated = pictures[np.arange(shape[0] or 1) % len(pictures)]
    found = []
    for size in canvases:
        level = draw_level(repeated, size)
        found += _compare(network, size, level, graph(level))
    return found


def _compare(
    network: MsNetwork,
    size: tuple[int, int],
    level: NDArray[np.float32],
    given: list[NDArray[np.float32]],
) -> list[Difference]:
    # One at a time: the original's seven take 10 GB more together.
    pairs: list[Any] = [network.maps(Tensor(one[None])) for one in level]
    features, attention = (
        np.concatenate([one.asnumpy() for one in ones])
        for ones in zip(*pairs, strict=True)
    )
    wanted = [attention, features.transpose(0, 2, 3, 1)]
    if given[0].ndim == 4:  # the original's form
        wanted = [attention[:, None], features]
    return [
        difference(output, size, one, other)
        for output, one, other in zip(OUTPUTS, wanted, given, strict=True)
    ]
