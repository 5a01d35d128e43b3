# SPDX-License-Identifier: Apache-2.0
"""Exported files beside the network they came from, before anybody sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delf_common.config import ExportConfig, ExtractConfig
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.pyramid import pyramid_levels
from delf_common.features import Features
from delf_common.weights.comparing import (
    check_pictures,
    check_sizes,
    compare_networks,
)
from delf_common.weights.differences import Difference, difference
from delf_onnx.keypoints import KeypointModel
from delf_onnx.loading import load_model
from delf_torch.network import TorchNetwork

CHECK_SCALES = (1.0, 0.52, 0.71, 1.5)
THE_FILE = "the exported file"


def check_maps(network: TorchNetwork, model: bytes) -> list[Difference]:
    """Compare the form "maps" at several sizes, two pictures each."""
    other = load_model(model, "cpu", THE_FILE)
    return compare_networks(network, other, check_pictures(), check_sizes(network))


def check_keypoints(
    network: TorchNetwork, model: bytes, config: ExportConfig
) -> list[Difference]:
    """Compare the form "keypoints" with the extractor, one level at a time."""
    exported = KeypointModel(model, "cpu", THE_FILE)
    found = []
    images = check_pictures()
    height, width = images.shape[1:3]
    for level in pyramid_levels(height, width, CHECK_SCALES, network.receptive_field):
        settings = ExtractConfig(
            image_scales=(level.scale,),
            score_threshold="none",
            max_feature_num=config.max_feature_num,
        )
        wanted = Extractor(network, settings).extract_batch(list(images))
        given = exported.run(images, level.size)
        for i, features in enumerate(wanted):
            one = [array[i] for array in given]
            found += _compare_features(level.size, features, one)
    return found


def _compare_features(
    size: tuple[int, int], wanted: Features, given: list[NDArray[np.float32]]
) -> list[Difference]:
    """Row by row in the order of places: nearly equal scores may change theirs."""
    order0, order1 = _by_place(wanted.keypoints), _by_place(given[0])
    names = ("keypoints", "scores", "descriptors")
    arrays = (wanted.keypoints, wanted.scores, wanted.descriptors)
    return [
        difference(name, size, array[order0], other[order1])
        for name, array, other in zip(names, arrays, given, strict=True)
    ]


def _by_place(keypoints: NDArray[np.float32]) -> NDArray[np.intp]:
    x, y = np.round(keypoints, 1).T
    order: NDArray[np.intp] = np.lexsort((x, y))
    return order
