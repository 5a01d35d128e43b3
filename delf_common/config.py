# SPDX-License-Identifier: Apache-2.0
"""Every setting with its type, default and meaning; imports nothing heavy.

The command line turns these dataclasses into flags and YAML keys, and their ``Args``
sections into help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from delf_common.errors import UsageError

WRITERS = {"onnx": "torch", "mindir": "ms"}  # backends: who writes whose files
DELF_SCALES = (0.25, 0.35355338, 0.5, 0.70710677, 1.0, 1.4142135, 2.0)


@dataclass(frozen=True)
class ExtractConfig:
    """How keypoints are chosen and described.

    Args:
        image_scales: scales of the image pyramid.
        max_feature_num: most keypoints an image may have.
        score_threshold: lowest attention score a keypoint may have; "weights" takes the
            checkpoint's own, "none" has no limit.
        border_cells: cells along each border of a feature map that are no keypoints,
            because they see the network's padding more than the picture; "weights"
            takes the checkpoint's own figure. Published DELF keeps all (0).
        iou_threshold: of two regions that overlap by more than this intersection over
            union only the better scored one stays; 1 keeps all, as published DELF does.
        keypoint_centres: "exact" is the true middle of a cell's region; "tf" is
            stride * cell / scale, the figure of the TensorFlow and MindSpore DELF,
            a few pixels up and left of it.
        max_image_size: an image with a longer side is shrunk to it first.
        min_image_size: an image whose longer side is shorter is enlarged to it first.
        use_square_images: resize both sides to the new longer side.
        use_pca: project descriptors, if the weights carry a PCA or one is given.
        pca_dim: dimensions kept, none for all that the PCA has.
        use_whitening: divide projected descriptors by the standard deviations.
        max_image_pixels: refuse larger images, against decompression bombs.
        canvases: heights x widths, such as 512x512,1024x1024, for hardware that wants
            few fixed shapes: each pyramid level is laid on the smallest that holds it,
            and its own cells are cut out; with none any size runs.
        precision: type that convolutions compute in; "bf16" is for devices that have
            it, and moves every number (see docs/gpu.md).
    """

    image_scales: tuple[float, ...] = DELF_SCALES
    max_feature_num: int = 1000
    score_threshold: float | Literal["weights", "none"] = "weights"
    border_cells: int | Literal["weights"] = "weights"
    iou_threshold: float = 1.0
    keypoint_centres: Literal["exact", "tf"] = "exact"
    max_image_size: int | None = None
    min_image_size: int | None = None
    use_square_images: bool = False
    use_pca: bool = True
    pca_dim: int | None = None
    use_whitening: bool = False
    max_image_pixels: int = 200_000_000
    canvases: tuple[str, ...] = ()
    precision: Literal["float32", "bf16"] = "float32"


@dataclass(frozen=True)
class MatchConfig:
    """Which descriptors of two images are putative matches.

    Args:
        distance_threshold: largest Euclidean distance of matched unit descriptors
            (0 to 2), none for no limit.
        ratio_threshold: largest ratio of the nearest distance to the second nearest,
            none for no ratio test.
        mutual: keep only pairs that are each other's nearest neighbour.
    """

    distance_threshold: float | None = 0.8
    ratio_threshold: float | None = None
    mutual: bool = True


@dataclass(frozen=True)
class VerifyConfig:
    """How putative matches are verified geometrically.

    Args:
        model: transformation fitted from image 0 to image 1.
        method: "magsac" is OpenCV's USAC with MAGSAC++ scoring; "msac" the same with
            truncated squares, which is faster; "ransac" is scikit-image's, the
            reference with the figures of published DELF.
        residual_threshold: largest distance of an inlier from its prediction, in pixels
            of image 1.
        max_trials: most random samples.
        seed: of the random samples; the same seed gives the same inliers.
    """

    model: Literal["affine", "similarity", "homography"] = "affine"
    method: Literal["magsac", "msac", "ransac"] = "magsac"
    residual_threshold: float = 20.0
    max_trials: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class SearchConfig:
    """How a collection is searched.

    Args:
        voting: "exact" compares all descriptors; "pq" uses the index's codes (see
            ``delf index --codes pq``), many times faster; "auto" uses codes if the
            index has them.
        probes: cells of the coarse quantiser that each descriptor of the query is
            looked for in; more find more votes and take longer. Only for codes.
        verify_top: candidates with the most votes that are verified geometrically,
            "all" for every image.
        block_rows: database descriptors compared at a time; bounds the memory. What is
            computed of a block should fit a cache: 4 bytes for each of its descriptors
            and each of the query's. Only for the exact search.
    """

    voting: Literal["auto", "exact", "pq"] = "auto"
    probes: int = 4
    verify_top: int | Literal["all"] = 100
    block_rows: int = 4096

    def __post_init__(self) -> None:
        """Refuse numbers that have no meaning, before any work is done."""
        if self.verify_top != "all" and self.verify_top < 0:
            raise UsageError(
                f"--verify_top {self.verify_top}: must be 0 (votes only), more, or all"
            )
        refuse_below(1, block_rows=self.block_rows, probes=self.probes)


@dataclass(frozen=True)
class CodesConfig:
    """How an index is coded for a fast search: an inverted file of product codes.

    Args:
        codes: "pq" writes codes beside the index, "none" does not; an index that has
            codes keeps them when it grows.
        cells: of the coarse quantiser; "auto" is the power of 2 nearest to 4 times the
            square root of the number of descriptors, 8192 for 5 million.
        code_bytes: of a descriptor, a byte for each group of its dimensions, so it must
            divide their number; "auto" is the largest up to a byte for 2 dimensions.
        descriptors_per_cell: drawn to learn the cells and codes from, for each cell.
        codes_seed: of the draw and of k-means.
    """

    codes: Literal["none", "pq"] = "none"
    cells: int | Literal["auto"] = "auto"
    code_bytes: int | Literal["auto"] = "auto"
    descriptors_per_cell: int = 40
    codes_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that have no meaning, before any work is done."""
        refuse_below(1, descriptors_per_cell=self.descriptors_per_cell)
        refuse_below(0, codes_seed=self.codes_seed)
        for name in ("cells", "code_bytes"):
            if getattr(self, name) != "auto":
                refuse_below(1, **{name: getattr(self, name)})


def refuse_below(least: int, **values: int) -> None:
    """Raise for a setting that is too small.

    Raises:
        UsageError: names the flag, its value and its limit.
    """
    for name, value in values.items():
        if value < least:
            raise UsageError(f"--{name} {value}: must be at least {least}")


@dataclass(frozen=True)
class JobConfig:
    """How a batch job runs; changes no number in its result.

    Args:
        batch_size: pictures of one shape that go through the network together.
        workers: threads that decode pictures while the network runs.
        resume: continue an interrupted job, or add pictures to a finished file.
        overwrite: replace the output if it exists.
        strict: stop at the first broken picture instead of recording it.
    """

    batch_size: int = 1
    workers: int = 2
    resume: bool = False
    overwrite: bool = False
    strict: bool = False


@dataclass(frozen=True)
class ExportConfig:
    """How a network is written for other runtimes.

    Args:
        form: "maps" gives attention and features of every cell, for ``--backend onnx``
            and ``mindir``; "keypoints" (onnx) has the level's selection and descriptors
            inside, for servers; "original" (mindir) is the MindSpore model zoo's: seven
            levels of 2048x2048 in, prob and block3 out.
        dtype: of the stored kernels (onnx); float16 halves the file, and the arithmetic
            stays float32.
        opset: version of ONNX's operators, 13 to 20 (onnx).
        canvases: heights x widths, such as 768x1024,1024x768, that pyramid levels are
            laid on, for devices that want static shapes (mindir); with none any size
            runs.
        tolerance: largest difference from the framework, over the largest value, that
            is accepted when the file is checked.
        max_feature_num: most keypoints of a level, in the form "keypoints".
    """

    form: Literal["maps", "keypoints", "original"] = "maps"
    dtype: Literal["float32", "float16"] = "float32"
    opset: int = 17
    canvases: tuple[str, ...] = ()
    tolerance: float = 1e-4
    max_feature_num: int = 1000
