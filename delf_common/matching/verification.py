# SPDX-License-Identifier: Apache-2.0
"""Geometric verification: which matches agree on one transformation."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delf_common.config import VerifyConfig
from delf_common.errors import UsageError
from delf_common.extras import need

SAMPLES = {"similarity": 2, "affine": 3, "homography": 4}
SCORES = {"magsac": "SCORE_METHOD_MAGSAC", "msac": "SCORE_METHOD_MSAC"}  # of OpenCV
CONFIDENCE = 0.999  # of having drawn a clean sample; MAGSAC stops there
LOCAL_ITERATIONS = 5
LOCAL_SAMPLE = 14
LEAST_DETERMINANT = 1e-4  # a transformation that squeezes areas below this is no view
LEAST_SPREAD = (
    1.0  # pixels: inliers closer to one line (or place) fix no transformation
)
LARGEST_SEED = 2**31 - 1  # of OpenCV


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
        return int(np.count_nonzero(self.inliers))


def verify(
    keypoints0: NDArray[np.float32],
    keypoints1: NDArray[np.float32],
    config: VerifyConfig | None = None,
) -> Verification:
    """Fit a transformation to matched keypoints, robustly, and list who agrees.

    The inliers are those of the returned model, whatever the method kept on its way: a
    residual in image 1 below the threshold; NaN and infinity never are. The result
    depends on the arguments alone; no global random state is read or changed.

    Args:
        keypoints0: (K, 2) x, y in image 0.
        keypoints1: (K, 2) x, y of the matches in image 1.
        config: model, method, threshold, seed.

    Returns:
        No model and no inliers for fewer matches than the model needs, for inliers on a
        line (of a similarity: in one place), or where nothing is found.

    Raises:
        ValueError: there are more keypoints of one image than of the other.
        UsageError: a setting is outside its range.
    """
    config = config or VerifyConfig()
    _check(config)
    if keypoints0.shape != keypoints1.shape or keypoints0.shape[1:] != (2,):
        shapes = f"{keypoints0.shape} and {keypoints1.shape}"
        raise ValueError(f"matched keypoints must both be (K, 2), not {shapes}")
    model = _fit(keypoints0, keypoints1, config)
    if model is not None and is_plausible(model):
        rows0 = np.ascontiguousarray(keypoints0.T, np.float64)  # (2, K): long rows
        rows1 = np.ascontiguousarray(keypoints1.T, np.float64)
        inliers = squared_residuals(model, rows0, rows1) < config.residual_threshold**2
        if is_determined(rows0[:, inliers], config.model):
            return Verification(model, inliers)
    return Verification(None, np.zeros(len(keypoints0), bool))


def _check(config: VerifyConfig) -> None:
    """Refuse settings that have no answer, NaN included."""
    if not config.residual_threshold > 0 or config.max_trials < 1:
        raise UsageError(
            f"--residual_threshold {config.residual_threshold} and --max_trials "
            f"{config.max_trials} must be above 0"
        )
    if not 0 <= config.seed <= LARGEST_SEED:
        raise UsageError(f"--seed {config.seed}: must be from 0 to {LARGEST_SEED}")


def _fit(
    points0: NDArray[np.float32], points1: NDArray[np.float32], config: VerifyConfig
) -> NDArray[np.float64] | None:
    """Fit by the chosen method, without matches at NaN or infinity."""
    finite = np.isfinite(points0 + points1)
    if not finite.all():
        rows = finite.all(axis=1)
        points0, points1 = points0[rows], points1[rows]
    if len(points0) < SAMPLES[config.model]:
        return None
    if config.method == "ransac":
        return _fit_ransac(points0, points1, config)
    return _fit_usac(points0, points1, config)


def squared_residuals(
    model: NDArray[np.float64],
    points0: NDArray[np.float64],
    points1: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(K,) squared distances in image 1; not finite for points mapped to the horizon.

    Args:
        model: (3, 3) from image 0 to image 1.
        points0: (2, K) x, y in image 0.
        points1: (2, K) x, y in image 1.
    """
    seen = model[:2, :2] @ points0
    seen += model[:2, 2:]
    with np.errstate(all="ignore"):
        if model[2, 0] or model[2, 1] or model[2, 2] != 1:
            seen /= model[2, :2] @ points0 + model[2, 2]
        seen -= points1
        seen *= seen
        distances: NDArray[np.float64] = seen[0] + seen[1]
    return distances


def is_plausible(model: NDArray[np.float64]) -> bool:
    """Tell a transformation from one that squeezes the plane into a line or a point.

    The determinant of the (3, 3) matrix with 1 in its corner is the growth of areas at
    (0, 0), for a homography too. One number that is not finite spoils it.
    """
    (a, b, c), (d, e, f), (g, h, i) = model.tolist()
    growth = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return math.isfinite(growth) and abs(growth) > LEAST_DETERMINANT


def is_determined(points0: NDArray[np.float64], model: str) -> bool:
    """Tell whether inliers are enough, and wide enough, to fix a transformation.

    A similarity needs two places; the others need points off one line. Repeated
    matches of a few keypoints would otherwise count as agreement.

    Args:
        points0: (2, K) x, y of the inliers.
        model: "similarity", "affine" or "homography".
    """
    count = points0.shape[1]
    if count < SAMPLES[model]:
        return False
    centred = points0 - points0.sum(axis=1, keepdims=True) / count
    (xx, xy), (_, yy) = (centred @ centred.T / count).tolist()
    middle, half = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    variance = middle + half if model == "similarity" else middle - half
    return bool(variance > LEAST_SPREAD**2)


def _fit_usac(
    points0: NDArray[np.float32], points1: NDArray[np.float32], config: VerifyConfig
) -> NDArray[np.float64] | None:
    """OpenCV's USAC with its own seeded generator; it computes in float32.

    OpenCV has no USAC for a similarity; its RANSAC for it begins from a fixed state.
    """
    points0 = np.ascontiguousarray(points0, np.float32)
    points1 = np.ascontiguousarray(points1, np.float32)
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
    params.score = getattr(cv2, SCORES[config.method])
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
    points0: NDArray[np.float32], points1: NDArray[np.float32], config: VerifyConfig
) -> NDArray[np.float64] | None:
    """scikit-image's RANSAC, the reference: the figures of published DELF, seeded."""
    need("skimage")
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
    with warnings.catch_warnings():  # it warns where nothing is found: that is a value
        warnings.simplefilter("ignore")
        model, _ = ransac(
            (points0.astype(np.float64), points1.astype(np.float64)),
            classes[config.model],
            min_samples=SAMPLES[config.model],
            residual_threshold=config.residual_threshold,
            max_trials=config.max_trials,
            rng=config.seed,
        )
    return None if model is None else np.asarray(model.params, np.float64)
