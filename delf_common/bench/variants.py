# SPDX-License-Identifier: Apache-2.0
"""What the ablation changes: one thing at a time, everything else as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from delf_common.config import DELF_SCALES

Scores = Literal["weights", "norm", "random", "block4"]


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Args:
        name: what is changed.
        extract: fields of `ExtractConfig`.
        match: fields of `MatchConfig`.
        verify: fields of `VerifyConfig`.
        scores: "weights" takes the attention of the weights, "norm" the length of the
            feature row, "random" an attention before training, "block4" the map of
            block4 and the length of its rows.
        seed: of the random attention.
    """

    name: str
    extract: Mapping[str, Any] = field(default_factory=dict)
    match: Mapping[str, Any] = field(default_factory=dict)
    verify: Mapping[str, Any] = field(default_factory=dict)
    scores: Scores = "weights"
    seed: int = 0

    @property
    def way(self) -> tuple[str, ...]:
        """What its features depend on; variants of one way share them."""
        changes = (f"{name}={value}" for name, value in sorted(self.extract.items()))
        return (self.scores, str(self.seed), *changes)


def pca(dimension: int, *, whitening: bool = False) -> Variant:
    """Project descriptors to so many dimensions."""
    end = ", whitened" if whitening else ""
    settings = {"use_pca": True, "pca_dim": dimension, "use_whitening": whitening}
    return Variant(f"PCA to {dimension} dimensions{end}", settings)


DIMENSIONS = (40, 64, 80, 96)  # delf-lite0 has 96
VARIANTS = (
    Variant("as it is"),
    Variant("score: length of the feature row", scores="norm"),
    *(
        Variant(f"score: random attention, seed {seed}", scores="random", seed=seed)
        for seed in range(3)
    ),
    Variant("block4 (stride 32), score: length", {"use_pca": False}, scores="block4"),
    Variant("no PCA", {"use_pca": False}),
    *(pca(dimension) for dimension in DIMENSIONS),
    *(pca(dimension, whitening=True) for dimension in DIMENSIONS),
    Variant("no border left out", {"border_cells": 0}),
    Variant("border of 2 cells", {"border_cells": 2}),
    Variant("no score threshold", {"score_threshold": "none"}),
    *(Variant(f"{n} keypoints", {"max_feature_num": n}) for n in (300, 500, 2000)),
    Variant("scales 0.25 to 1", {"image_scales": DELF_SCALES[:5]}),
    Variant("scales 0.5 to 2", {"image_scales": DELF_SCALES[2:]}),
    Variant("scales 0.25, 0.5, 1, 2", {"image_scales": DELF_SCALES[::2]}),
    *(
        Variant(f"distance below {limit}", match={"distance_threshold": limit})
        for limit in (0.7, 0.75, 0.85, 0.9, 1.0)
    ),
    Variant("not mutual", match={"mutual": False}),
    Variant("ratio below 0.95", match={"ratio_threshold": 0.95}),
    *(
        Variant(f"within {pixels} px", verify={"residual_threshold": pixels})
        for pixels in (10.0, 30.0)
    ),
    Variant("similarity", verify={"model": "similarity"}),
    Variant("homography", verify={"model": "homography"}),
)
