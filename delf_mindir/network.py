# SPDX-License-Identifier: Apache-2.0
"""The seam's MindIR side: levels are drawn here, the file's graph does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.extraction.canvas import place
from delf_common.extraction.host_maps import HostMaps
from delf_common.extraction.levels import draw_level
from delf_common.protocols import DenseMaps, Images, Size
from delf_common.weights.exported import ExportedInfo

Array = NDArray[np.float32]


class Runtime(Protocol):
    """What runs the file's graph: `delf_ms.graph.Graph`, `delf_mindir.lite.LiteModel`.

    Calling it turns a level (B, 3, H, W) float32 into attention (B, h, w) and features
    (B, h, w, C).
    """

    on_cpu: bool

    def __call__(self, level: Array) -> list[Array]:
        """Run the graph."""


class MindirNetwork:
    """An exported network; fits `delf_common.protocols.FeatureNetwork`.

    Args:
        runtime: of a file of the form "maps".
        exported: what the file says of itself.
    """

    def __init__(self, runtime: Runtime, exported: ExportedInfo) -> None:
        self.runtime = runtime
        self.info = exported.info
        self.receptive_field = exported.receptive_field
        self.channels = exported.channels
        self.canvases = exported.canvases

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run every pyramid level; see `delf_common.protocols.FeatureNetwork`."""
        return [self._level(images, size) for size in sizes]

    def global_maps(self, images: Images, size: Size) -> Array:
        """Refuse: an exported file ends at block3.

        Raises:
            DelfError: always.
        """
        raise DelfError(
            "an exported file has no block4, of which global descriptors are made; "
            "use --backend torch or ms"
        )

    def _level(self, images: Images, size: Size) -> HostMaps:
        run = self._run_on_canvas if self.canvases else self.runtime
        outputs = [run(draw_level(part, size)) for part in self._parts(images)]
        attention, features = zip(*outputs, strict=True)
        return HostMaps(np.concatenate(attention), np.concatenate(features))

    def _parts(self, images: Images) -> Sequence[Images]:
        """One image at a time where the graph takes one, and on a CPU.

        There an image's bits must not depend on its batch.
        """
        if not self.runtime.on_cpu and not self.canvases:
            return [images]
        return [images[i : i + 1] for i in range(len(images))]

    def _run_on_canvas(self, level: Array) -> list[Array]:
        height, width = level.shape[2:]
        placement = place((height, width), self.canvases, self.receptive_field)
        canvas = np.zeros((len(level), 3, *placement.canvas), np.float32)
        rows, columns = placement.pixels
        canvas[:, :, rows, columns] = level
        rows, columns = placement.cells
        return [maps[:, rows, columns] for maps in self.runtime(canvas)]
