# SPDX-License-Identifier: Apache-2.0
"""The network's kernels recorded once for each shape, and replayed: CUDA graphs.

A small level takes the device less time than Python takes to ask for its some hundred
kernels. A CUDA graph asks for all of them at once.

Not run on a GPU yet; everything but `GraphRecorder` is tested on a CPU with a stand-in
for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_GRAPHS = 32  # levels; seven of them are a photograph's, at one size and batch
MOST_SEEN = 1024  # shapes that are remembered as seen once

Maps = Callable[[Tensor], tuple[Tensor, Tensor]]  # a level to features, attention


@dataclass(frozen=True)
class Recording:
    """Kernels with the memory that they read and write, always the same.

    Args:
        inputs: read by the kernels.
        outputs: written by them.
        replay: runs them; does not wait for the device.
    """

    inputs: Tensor
    outputs: tuple[Tensor, Tensor]
    replay: Callable[[], None]

    def run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the outputs for another input, in memory of their own."""
        self.inputs.copy_(x)
        self.replay()
        features, attention = self.outputs
        return features.clone(), attention.clone()


Record = Callable[[Maps, Tensor], Recording]


class GraphCache:
    """Runs a network by recordings, one for each shape of a level.

    A shape that comes for the first time runs as it is: many come only once. At its
    second time it is recorded. Of the recordings those used last are kept. Not for
    several threads.

    Args:
        maps: the network, which does not look at a value on the host.
        record: makes the recording for levels like an example.
        most: recordings kept.
    """

    def __init__(self, maps: Maps, record: Record, most: int = MOST_GRAPHS) -> None:
        self.maps = maps
        self.record = record
        self.most = most
        self.recordings: OrderedDict[torch.Size, Recording] = OrderedDict()
        self.seen: OrderedDict[torch.Size, None] = OrderedDict()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a level's maps, in memory of their own."""
        shape = x.shape
        if shape not in self.recordings:
            if shape not in self.seen:
                self._remember(shape)
                return self.maps(x)
            self._make_room()
            self.recordings[shape] = self.record(self.maps, x)
        self.recordings.move_to_end(shape)
        return self.recordings[shape].run(x)

    def _remember(self, shape: torch.Size) -> None:
        self.seen[shape] = None
        if len(self.seen) > MOST_SEEN:
            self.seen.popitem(last=False)

    def _make_room(self) -> None:
        """Drop the recording that was not used for longest; it must be earned anew."""
        while len(self.recordings) >= self.most:
            shape, _ = self.recordings.popitem(last=False)
            self.seen.pop(shape, None)


class GraphRecorder:
    """Records CUDA graphs that share their memory for what lies between the layers.

    They may, because no two run at a time and what one wrote is copied before the
    next runs.
    """

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, maps: Maps, example: Tensor) -> Recording:
        """Record what computes maps of levels like the example."""
        inputs = example.clone()
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            maps(inputs)  # what libraries set up at a first call is not recorded
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls are watched: others may wait for their copies.
        with torch.cuda.graph(graph, self.pool, capture_error_mode="thread_local"):
            outputs = maps(inputs)
        return Recording(inputs, outputs, graph.replay)
