# SPDX-License-Identifier: Apache-2.0
"""One batch of images through a network into `Features`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.config import ExtractConfig
from delf_common.errors import UsageError
from delf_common.extraction.canvas import lay_on_canvases
from delf_common.extraction.pca import describe
from delf_common.extraction.precision import compute_in
from delf_common.extraction.published import with_published
from delf_common.extraction.pyramid import pyramid_levels
from delf_common.extraction.seen import Seen, gather_rows
from delf_common.extraction.selection import select_keypoints
from delf_common.extraction.stages import (
    DEVICE,
    NETWORK,
    RESIZE,
    SELECT,
    Timed,
    untimed,
)
from delf_common.features import Features
from delf_common.io.images import read_image, resize_image
from delf_common.protocols import FeatureNetwork, Image
from delf_common.weights.metadata import Pca

# Settings that older files know nothing of; they are named where they are set.
ADDED = ("canvases", "precision")


class Extractor:
    """Extracts features with one network and one configuration.

    Args:
        network: of either backend, or anything that fits the protocol.
        config: how keypoints are chosen and described; None for what was published with
            the weights, and the defaults.
        pca: used in place of the one in the weights.
        given: settings of ``config`` that stand; the others give way to published ones.
            None lets all of them stand.

    Raises:
        UsageError: a setting is outside its range.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        config: ExtractConfig | None = None,
        pca: Pca | None = None,
        given: Collection[str] | None = None,
    ) -> None:
        if config is None:
            config, given = ExtractConfig(), ()
        if given is not None:
            config = with_published(config, network.info.extraction, given)
        self.config = config
        check_config(self.config)
        computing = compute_in(network, config.precision)
        self.network = lay_on_canvases(computing, config.canvases)
        self.pca = (pca or network.info.pca) if self.config.use_pca else None

    @property
    def threshold(self) -> float | None:
        """Lowest attention score of a keypoint, None for no limit."""
        chosen = self.config.score_threshold
        if chosen == "weights":
            return self.network.info.score_threshold
        return None if chosen == "none" else float(chosen)

    @property
    def border_cells(self) -> int:
        """Width of the border without keypoints, in cells."""
        chosen = self.config.border_cells
        return self.network.info.border_cells if chosen == "weights" else chosen

    @property
    def dimension(self) -> int:
        """Width D of a descriptor."""
        if self.pca is None:
            return self.network.channels
        return self.config.pca_dim or len(self.pca.components)

    def settings(self) -> dict[str, Any]:
        """Everything that changes the numbers, ready for JSON."""
        unset = ExtractConfig()
        settings = {
            name: value
            for name, value in dataclasses.asdict(self.config).items()
            if name not in ADDED or value != getattr(unset, name)
        }
        return settings | {
            "score_threshold": self.threshold,
            "border_cells": self.border_cells,
            "pca_dim": self.dimension if self.pca is not None else None,
            "pca_sha256": fingerprint(self.pca),
            "attention": self.network.info.attention,
        }

    def extract_batch(self, images: Sequence[Image]) -> list[Features]:
        """Extract from images of one shape.

        Args:
            images: (H, W, 3) uint8 RGB, all of the same shape.

        Returns:
            Features of each image, in order; a picture that is too small for the
            network has none.
        """
        return self.describe(self.look(images))

    def look(self, images: Sequence[Image], timed: Timed = untimed) -> Seen:
        """Run the network: the half of `extract_batch` for the device.

        Args:
            images: (H, W, 3) uint8 RGB, all of the same shape.
            timed: told of the stages.
        """
        with timed(RESIZE):
            sizes = [(image.shape[1], image.shape[0]) for image in images]
            resized, factors = resize_image(images[0], self.config)
            rest = [resize_image(image, self.config)[0] for image in images[1:]]
            batch = np.stack([resized, *rest])
        height, width = resized.shape[:2]
        scales, field = self.config.image_scales, self.network.receptive_field
        levels = pyramid_levels(height, width, scales, field)
        with timed(NETWORK):
            wanted = [level.size for level in levels]
            maps = self.network.dense(batch, wanted) if levels else []
        return Seen(maps, levels, (height, width), factors, sizes)

    def describe(self, seen: Seen, timed: Timed = untimed) -> list[Features]:
        """Select and describe keypoints: the other half, which may go on in a thread.

        Args:
            seen: of a batch.
            timed: told of the stages.

        Returns:
            As `extract_batch` does.
        """
        if not seen.levels:
            return [Features.empty(self.dimension, size) for size in seen.sizes]
        with timed(DEVICE):  # some devices are still at work when dense() returns
            attention = [level_maps.attention for level_maps in seen.maps]
        with timed(SELECT):
            return [
                self._features(i, seen, [level[i] for level in attention])
                for i in range(len(seen.sizes))
            ]

    def _features(
        self, index: int, seen: Seen, attention: Sequence[NDArray[np.float32]]
    ) -> Features:
        """Select and describe the keypoints of one image of the batch."""
        chosen = select_keypoints(
            attention,
            seen.levels,
            seen.resized,
            self.network.receptive_field,
            self.threshold,
            self.border_cells,
            self.config,
        )
        rows = gather_rows(index, seen.maps, chosen, self.network.channels)
        dimension, whitening = self.config.pca_dim, self.config.use_whitening
        return Features(
            self._to_original(chosen.keypoints, seen.factors),
            describe(rows, self.pca, dimension, whitening),
            chosen.scores,
            chosen.scales,
            seen.sizes[index],
        )

    def _to_original(
        self, keypoints: NDArray[np.float32], factors: tuple[float, float]
    ) -> NDArray[np.float32]:
        """Undo `resize_image` on (N, 2) x, y; ``factors`` are new / old, y then x."""
        ratio = np.array(factors[::-1], np.float64)
        half = 0.5 if self.config.keypoint_centres == "exact" else 0.0
        return ((keypoints + half) / ratio - half).astype(np.float32)


def fingerprint(pca: Pca | None) -> str | None:
    """SHA-256 of a PCA's arrays, hexadecimal."""
    if pca is None:
        return None
    arrays = (pca.mean, pca.components, pca.variances)
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha256(data).hexdigest()


def extract(
    images: Iterable[Image | str | Path],
    network: FeatureNetwork,
    config: ExtractConfig | None = None,
    pca: Pca | None = None,
) -> list[Features]:
    """Extract features of pictures, given as arrays or as paths.

    Args:
        images: (H, W, 3) uint8 RGB arrays, or paths of files that Pillow reads.
        network: from ``delf_torch.load_network`` or ``delf_ms.load_network``.
        config: how keypoints are chosen and described; None for what was published with
            the weights, and the defaults.
        pca: used in place of the one in the weights.

    Returns:
        One `Features` per picture, in order. [] for no pictures.

    Raises:
        ImageError: a file is not a picture, or too large.
    """
    extractor = Extractor(network, config, pca)
    limit = extractor.config.max_image_pixels
    arrays = (
        image if isinstance(image, np.ndarray) else read_image(image, max_pixels=limit)
        for image in images
    )
    return [extractor.extract_batch([array])[0] for array in arrays]


def check_config(config: ExtractConfig) -> None:
    """Refuse settings outside their range.

    Raises:
        UsageError: names the setting, its value and its range.
    """
    positive = ("max_feature_num", "pca_dim", "max_image_size", "min_image_size")
    for name in positive:
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise UsageError(f"--{name} {value}: must be above 0")
    if not config.image_scales or min(config.image_scales) <= 0:
        raise UsageError(f"--image_scales {config.image_scales}: must be above 0")
    if config.border_cells != "weights" and config.border_cells < 0:
        raise UsageError(f"--border_cells {config.border_cells}: must not be below 0")
    if not 0 <= config.iou_threshold <= 1:
        raise UsageError(f"--iou_threshold {config.iou_threshold}: must be in 0 to 1")
