# SPDX-License-Identifier: Apache-2.0
"""The seam's onnxruntime side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.extraction.host_maps import HostMaps
from delf_common.protocols import DenseMaps, Images, Size
from delf_common.weights.exported import ExportedInfo


class OnnxNetwork:
    """An exported network; fits `delf_common.protocols.FeatureNetwork`.

    Args:
        session: of a file of the form "maps".
        exported: what the file says of itself.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, exported: ExportedInfo
    ) -> None:
        self.session = session
        self.info = exported.info
        self.receptive_field = exported.receptive_field
        self.channels = exported.channels
        self.on_cpu = session.get_providers() == ["CPUExecutionProvider"]

    def dense(self, images: Images, sizes: Sequence[Size]) -> list[DenseMaps]:
        """Run every pyramid level; see `delf_common.protocols.FeatureNetwork`."""
        return [self._level(images, size) for size in sizes]

    def global_maps(self, images: Images, size: Size) -> NDArray[np.float32]:
        """Refuse: an exported file ends at block3.

        Raises:
            DelfError: always.
        """
        raise DelfError(
            "an exported file has no block4, of which global descriptors are made; "
            "use --backend torch"
        )

    def _level(self, images: Images, size: Size) -> HostMaps:
        outputs = [self._run(part, size) for part in self._parts(images)]
        attention, features = zip(*outputs, strict=True)
        return HostMaps(np.concatenate(attention), np.concatenate(features))

    def _parts(self, images: Images) -> Sequence[Images]:
        """On a CPU one image at a time: its bits must not depend on its batch."""
        if not self.on_cpu:
            return [images]
        return [images[i : i + 1] for i in range(len(images))]

    def _run(
        self, images: Images, size: Size
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        feed = {
            "images": np.ascontiguousarray(images),
            "size": np.asarray(size, np.int64),
        }
        attention, features = self.session.run(["attention", "features"], feed)
        return attention, features
