# SPDX-License-Identifier: Apache-2.0
"""Runs several backends on one photograph and compares them stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delf_common.backends import load_backend
from delf_common.config import WRITERS, ExportConfig, ExtractConfig
from delf_common.errors import DelfError, UsageError
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.pyramid import pyramid_levels
from delf_common.io.images import resize_image
from delf_common.parity.features import FeatureDifference, compare_features
from delf_common.parity.limits import limit_of
from delf_common.protocols import FeatureNetwork, Image, Size
from delf_common.weights.comparing import compare_networks
from delf_common.weights.differences import Difference, difference


@dataclass(frozen=True)
class Comparison:
    """One backend beside the reference.

    Args:
        stages: differences of every stage at every level, in the network's order.
        features: differences of the keypoints and their descriptors.
    """

    stages: list[Difference]
    features: FeatureDifference


def load_networks(
    weights: str, backends: Sequence[str], folder: Path
) -> dict[str, FeatureNetwork]:
    """Load the same weights on every backend.

    Args:
        weights: path of a canonical checkpoint, or the name of embedded weights.
        backends: NAME or NAME:DEVICE ("torch:cuda:0"), each once, the reference first.
        folder: where files that are exported first go.

    Raises:
        UsageError: fewer than two, or one twice, or an unknown name.
        DelfError: a backend is not installed, or the weights cannot be read.
    """
    if len(set(backends)) < max(len(backends), 2):
        listed = " ".join(backends) or "none"
        raise UsageError(f"--backends {listed}: name at least two, each once")
    return {name: _load(weights, name, folder) for name in backends}


def _load(weights: str, backend: str, folder: Path) -> FeatureNetwork:
    name, _, device = backend.partition(":")
    module = load_backend(name)
    if name in WRITERS and not weights.endswith(f".{name}"):
        exported = folder / f"model.{name}"
        config = ExportConfig(tolerance=float("inf"))  # to be judged here
        load_backend(WRITERS[name]).export(weights, exported, config)
        weights = str(exported)
    return module.load_network(weights, device or "auto")


def compare_backends(
    networks: Mapping[str, FeatureNetwork],
    image: Image,
    config: ExtractConfig,
    tolerance: float | None,
) -> dict[str, Comparison]:
    """Compare every network but the first with the first.

    Args:
        networks: by name, the reference first.
        image: (H, W, 3) uint8 RGB.
        config: of the extraction; overlapping regions are not suppressed.
        tolerance: of every stage, None for each stage's own.

    Raises:
        DelfError: the network sees nothing of the photograph; a value is not finite.
        UsageError: a setting is outside its range.
    """
    reference, *others = networks
    extractors = {name: Extractor(net, config) for name, net in networks.items()}
    networks = {name: one.network for name, one in extractors.items()}
    resized, _ = resize_image(image, config)
    (height, width), field = resized.shape[:2], networks[reference].receptive_field
    levels = pyramid_levels(height, width, config.image_scales, field)
    if not levels:
        raise DelfError("the photograph is too small: the network sees none of it")
    stages: dict[str, list[Difference]] = {name: [] for name in others}
    for level in levels:
        for name, found in _compare_level(networks, resized, level.size):
            stages[name] += found
    features = {name: ex.extract_batch([image])[0] for name, ex in extractors.items()}
    return {
        name: Comparison(
            stages[name],
            compare_features(
                features[reference],
                features[name],
                score_tolerance(stages[name], tolerance),
                limit=config.max_feature_num,
                threshold=extractors[reference].threshold,
            ),
        )
        for name in others
    }


def score_tolerance(stages: Sequence[Difference], tolerance: float | None) -> float:
    """How near scores must be for their order to be free: twice what was measured.

    Never more than the limit, so that attentions which are far apart excuse nothing.
    """
    seen = max(found.relative for found in stages if found.output == "attention")
    return min(2 * seen, limit_of("keypoints", tolerance))


def _compare_level(
    networks: Mapping[str, FeatureNetwork], image: Image, size: Size
) -> Iterator[tuple[str, list[Difference]]]:
    """Each other network's differences from the first, at one level."""
    (_, reference), *others = networks.items()
    wanted = trace_of(reference, image, size)
    for name, network in others:
        given = trace_of(network, image, size)
        found = [
            difference(stage, size, wanted[stage], given[stage])
            for stage in wanted
            if stage in given
        ]
        maps = compare_networks(reference, network, image[None], [size])
        yield name, found + maps[::-1]


def trace_of(
    network: FeatureNetwork, image: Image, size: Size
) -> dict[str, NDArray[np.float32]]:
    """Every stage's output, {} of a network that shows only its ends."""
    trace = getattr(network, "trace", None)
    return trace(image[None], size) if trace else {}
