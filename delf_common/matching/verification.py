# SPDX-License-Identifier: Apache-2.0
"""Geometric verification: which matches agree on one transformation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delf_common.config import VerifyConfig
from delf_common.errors import UsageError

SAMPLES = {"similarity": 2, "affine": 3, "homography": 4}
CONFIDENCE = 0.999  # of having drawn a clean sample; MAGSAC stops there
LOCAL_ITERATIONS = 3
LOCAL_SAMPLE = 14
LEAST_DETERMINANT = 1e-4  # a transformation that squeezes areas below this is no view


@dataclass(frozen=True)
class Verification:
    """What the geometry says of putative matches.

    Args:
        model: (3, 3) float64 from pixels x, y of image 0 to those of image 1, None if
            no transformation was found.
        inliers: (K,) whether the model maps the match's keypoint to within the residual
            threshold; all False without a model.
    """

    model: NDArray[np.float64] | None
    inliers: NDArray[np.bool_]

    @property
    def num_inliers(self) -> int:
        """Return the number of inliers."""
        return int(self.inliers.sum())


def verify(
    keypoints0: NDArray[np.float32],
    keypoints1: NDArray[np.float32],
    config: VerifyConfig | None = None,
) -> Verification:
    """Fit a transformation to matched keypoints, robustly, and list who agrees.

    The inliers are those of the returned model, whatever the method kept on its way: a
    residual in image 1 below the threshold; NaN and infinity never are. The result depends on the arguments alone;
    no global random state is read or changed.

    Args:
        keypoints0: (K, 2) x, y in image 0.
        keypoints1: (K, 2) x, y of the matches in image 1.
        config: model, method, threshold, seed.

    Returns:
        No model and no inliers for fewer matches than the model needs, for points on a
        line or in one place, or where nothing is found.

    Raises:
        UsageError: a setting is outside its range.
    """
    config = config or VerifyConfig()
    if config.residual_threshold <= 0 or config.max_trials < 1:
        raise UsageError(
            f"--residual_threshold {config.residual_threshold} and --max_trials "
            f"{config.max_trials} must be above 0"
        )
    nothing = Verification(None, np.zeros(len(keypoints0), bool))
    points0 = np.ascontiguousarray(keypoints0, np.float64)
    points1 = np.ascontiguousarray(keypoints1, np.float64)
    finite = np.isfinite(points0).all(axis=1) & np.isfinite(points1).all(axis=1)
    if finite.sum() < SAMPLES[config.model]:
        return nothing
    fit = _fit_ransac if config.method == "ransac" else _fit_magsac
    model = fit(points0[finite], points1[finite], config)
    if model is None or not is_plausible(model):
        return nothing
    inliers = residuals(model, points0, points1) < config.residual_threshold
    if inliers.sum() < SAMPLES[config.model]:
        return nothing
    return Verification(model, inliers)


def residuals(
    model: NDArray[np.float64],
    points0: NDArray[np.float64],
    points1: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(K,) distances in image 1, infinite for points mapped to the horizon."""
    mapped = np.column_stack([points0, np.ones(len(points0))]) @ model.T
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.linalg.norm(mapped[:, :2] / mapped[:, 2:] - points1, axis=1)
    return np.where(np.isfinite(distances), distances, np.inf)


def is_plausible(model: NDArray[np.float64]) -> bool:
    """Tell a transformation from one that squeezes the plane into a line or a point."""
    finite = bool(np.isfinite(model).all())
    return finite and abs(np.linalg.det(model[:2, :2])) > LEAST_DETERMINANT


def _fit_magsac(
    points0: NDArray[np.float64], points1: NDArray[np.float64], config: VerifyConfig
) -> NDArray[np.float64] | None:
    """OpenCV's USAC with MAGSAC scoring and its own seeded generator.

    OpenCV has no USAC for a similarity; its RANSAC for it begins from a fixed state.
    """
    if config.model == "similarity":
        matrix, _ = cv2.estimateAffinePartial2D(
            points0,
            points1,
            method=cv2.RANSAC,
            ransacReprojThreshold=config.residual_threshold,
            maxIters=config.max_trials,
            confidence=CONFIDENCE,
        )
        return _to_square(matrix)
    params = cv2.UsacParams()
    params.threshold = config.residual_threshold
    params.maxIterations = config.max_trials
    params.confidence = CONFIDENCE
    params.randomGeneratorState = config.seed
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.sampler = cv2.SAMPLING_UNIFORM
    params.loMethod = cv2.LOCAL_OPTIM_INNER_LO
    params.loIterations, params.loSampleSize = LOCAL_ITERATIONS, LOCAL_SAMPLE
    fit: Any = cv2.estimateAffine2D
    if config.model == "homography":
        fit = cv2.findHomography
    try:
        matrix, _ = fit(points0, points1, params)
    except cv2.error:  # degenerate points, such as all in one place
        return None
    return _to_square(matrix)


def _to_square(matrix: Any) -> NDArray[np.float64] | None:
    """(2, 3) or (3, 3) to (3, 3); None stays None."""
    if matrix is None or not np.size(matrix):
        return None
    square = np.eye(3)
    square[: len(matrix)] = matrix
    return square


def _fit_ransac(
    points0: NDArray[np.float64], points1: NDArray[np.float64], config: VerifyConfig
) -> NDArray[np.float64] | None:
    """scikit-image's RANSAC, the reference: the figures of published DELF, seeded."""
    from skimage.measure import ransac
    from skimage.transform import (
        AffineTransform,
        ProjectiveTransform,
        SimilarityTransform,
    )

    classes = {
        "affine": AffineTransform,
        "similarity": SimilarityTransform,
        "homography": ProjectiveTransform,
    }
    model, _ = ransac(
        (points0, points1),
        classes[config.model],
        min_samples=SAMPLES[config.model],
        residual_threshold=config.residual_threshold,
        max_trials=config.max_trials,
        rng=config.seed,
    )
    return None if model is None else np.asarray(model.params, np.float64)
