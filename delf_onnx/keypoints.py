# SPDX-License-Identifier: Apache-2.0
"""A file of the form "keypoints": pictures in, one level's keypoints out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.protocols import Images, Size
from delf_common.weights.exported import from_properties
from delf_onnx.session import open_session

Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class KeypointModel:
    """Runs an exported selection; an example for servers, and used to check files.

    Args:
        model: content of a file of the form "keypoints".
        device: "auto", "cpu", "cuda:N".
        name: of the file, for errors.

    Raises:
        DelfError: the file is damaged, or of another form.
    """

    def __init__(self, model: bytes, device: str, name: str) -> None:
        self.session = open_session(model, device, name)
        properties = self.session.get_modelmeta().custom_metadata_map
        self.exported = from_properties(properties, name)
        if self.exported.form != "keypoints":
            raise DelfError(f"{name} has the form {self.exported.form!r}")

    def run(self, images: Images, size: Size) -> Arrays:
        """Best keypoints of one pyramid level.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            size: (height, width) of the level.

        Returns:
            keypoints (B, k, 2) x, y in pixels of ``images``; scores (B, k), falling;
            descriptors (B, k, D) of unit length. k is 0 where the map has no cell
            inside its border.
        """
        feed = {
            "images": np.ascontiguousarray(images),
            "size": np.asarray(size, np.int64),
        }
        names = ["keypoints", "scores", "descriptors"]
        keypoints, scores, descriptors = self.session.run(names, feed)
        return keypoints, scores, descriptors
