# SPDX-License-Identifier: Apache-2.0
"""Verification finds planted transformations, and survives everything else."""

import threading
import warnings

import cv2
import numpy as np
import pytest

from delf_common.bench.verify import format_table, make_pair, run_verify_bench
from delf_common.config import VerifyConfig
from delf_common.errors import UsageError
from delf_common.matching.verification import SAMPLES, verify

MODELS = {
    "similarity": [[0.9, -0.4, 60], [0.4, 0.9, -20], [0, 0, 1]],
    "affine": [[1.1, 0.3, -30], [-0.2, 0.8, 50], [0, 0, 1]],
    "homography": [[1.0, 0.1, 10], [-0.1, 0.9, 40], [2e-4, -1e-4, 1]],
}
METHODS = ("magsac", "msac", "ransac")


def planted(model, count=200, share=0.3, seed=0):
    """Matches of which a share follows a model, with a pixel of noise."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 800, (count, 2))
    mapped = np.column_stack([points, np.ones(count)]) @ np.array(MODELS[model]).T
    seen = mapped[:, :2] / mapped[:, 2:] + rng.normal(0, 1, (count, 2))
    wrong = np.arange(count) >= share * count
    seen[wrong] = rng.uniform(0, 800, (int(wrong.sum()), 2))
    return points.astype(np.float32), seen.astype(np.float32), ~wrong


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
def test_a_planted_transformation_is_found_among_seventy_percent_of_noise(
    method, model
):
    points, seen, true = planted(model)
    config = VerifyConfig(model=model, method=method, residual_threshold=5)
    found = verify(points, seen, config)
    assert (found.inliers & true).sum() >= 0.97 * true.sum()
    assert (found.inliers & ~true).sum() <= 3
    corners = np.array([[0, 0, 1], [800, 0, 1], [0, 800, 1], [800, 800, 1]])
    ours, exact = corners @ found.model.T, corners @ np.array(MODELS[model]).T
    ours, exact = ours[:, :2] / ours[:, 2:], exact[:, :2] / exact[:, 2:]
    assert np.abs(ours - exact).max() < 5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
def test_inliers_are_those_of_the_returned_model(method, model):
    points, seen, _ = planted(model)
    config = VerifyConfig(model=model, method=method)
    found = verify(points, seen, config)
    mapped = np.column_stack([points, np.ones(len(points))]) @ found.model.T
    errors = np.linalg.norm(mapped[:, :2] / mapped[:, 2:] - seen, axis=1)
    np.testing.assert_array_equal(found.inliers, errors < 20)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
def test_the_same_matches_give_the_same_inliers_whatever_ran_before(method, model):
    points, seen, _ = planted(model, share=0.1)
    config = VerifyConfig(model=model, method=method, max_trials=200, seed=7)
    first = verify(points, seen, config)
    cv2.setRNGSeed(99)
    np.random.default_rng(5).random(3)
    np.random.seed(3)  # noqa: NPY002 (global state must not matter)
    verify(points[::-1], seen[::-1], VerifyConfig(seed=1))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1 if threads > 1 else 2)
    again = verify(points, seen, config)
    cv2.setNumThreads(threads)
    np.testing.assert_array_equal(first.inliers, again.inliers)
    np.testing.assert_array_equal(first.model, again.model)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
def test_global_random_states_are_left_as_they_were(method, model):
    def draw():
        return cv2.randu(np.zeros((4, 4)), 0, 1), np.random.rand(4)  # noqa: NPY002

    def start():
        cv2.setRNGSeed(5)
        np.random.seed(5)  # noqa: NPY002

    start()
    expected = draw()
    start()
    points, seen, _ = planted(model)
    verify(points, seen, VerifyConfig(model=model, method=method, max_trials=50))
    for ours, theirs in zip(draw(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_more_trials_than_allowed_are_not_made():
    points, seen, _ = planted("affine", share=0.1)
    few, many = (
        verify(points, seen, VerifyConfig(max_trials=trials)).num_inliers
        for trials in (1, 5000)
    )
    assert few < many / 2  # one sample of three is all true once in a thousand


def test_threads_do_not_disturb_each_other():
    points, seen, _ = planted("affine", share=0.1)
    expected = verify(points, seen).inliers
    results = []
    work = [
        threading.Thread(
            target=lambda: results.extend(
                verify(points, seen).inliers for _ in range(5)
            )
        )
        for _ in range(3)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(results) == 15
    for inliers in results:
        np.testing.assert_array_equal(inliers, expected)


def test_the_seed_acts():
    points, seen, _ = planted("affine", share=0.05)
    counts = {
        verify(points, seen, VerifyConfig(seed=s, max_trials=20)).num_inliers
        for s in range(20)
    }
    assert len(counts) > 1


DEGENERATE = {
    "on a line": (np.arange(40.0).reshape(20, 2), np.arange(40.0).reshape(20, 2)),
    "in one place": (np.full((20, 2), 5.0), np.full((20, 2), 9.0)),
    "onto one place": (
        np.random.default_rng(0).uniform(0, 99, (20, 2)),
        np.ones((20, 2)),
    ),
    "nan": (np.full((20, 2), np.nan), np.ones((20, 2))),
    "infinite": (np.full((20, 2), np.inf), np.ones((20, 2))),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.filterwarnings("ignore")
def test_degenerate_points_give_no_model_that_squeezes_them(method, model, kind):
    points, seen = DEGENERATE[kind]
    config = VerifyConfig(model=model, method=method, max_trials=50)
    found = verify(points.astype(np.float32), seen.astype(np.float32), config)
    assert found.inliers.shape == (20,) and found.inliers.dtype == bool
    if (model, kind) == ("similarity", "on a line"):  # two places fix a similarity
        assert found.num_inliers == 20 and np.isfinite(found.model).all()
    else:
        assert found.model is None and not found.inliers.any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["affine", "homography"])
def test_many_matches_of_two_keypoints_are_no_agreement(method, model):
    points = np.repeat([[10, 20], [300, 200]], 15, axis=0).astype(np.float32)
    config = VerifyConfig(model=model, method=method, max_trials=50)
    assert verify(points, points + 4, config).num_inliers == 0


def test_finding_nothing_warns_of_nothing():
    line = np.column_stack([np.arange(20), 2 * np.arange(20)]).astype(np.float32)
    config = VerifyConfig("homography", "ransac", max_trials=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert verify(line, line + 3, config).num_inliers == 0


@pytest.mark.parametrize("method", METHODS)
def test_matches_at_nan_are_never_inliers_and_do_not_spoil_the_others(method):
    points, seen, true = planted("affine", share=0.6)
    points[3], seen[5, 1] = np.nan, np.inf
    found = verify(points, seen, VerifyConfig(method=method, residual_threshold=5))
    assert not found.inliers[[3, 5]].any()
    assert found.inliers.sum() >= 0.95 * true.sum()


@pytest.mark.parametrize("method", METHODS)
def test_a_homography_whose_affine_part_is_flat_is_still_a_view(method):
    view = np.array(
        [[1, 0, 0], [0.001, 0, -300], [0, 0.002, 1]]
    )  # flat, yet invertible
    points = np.random.default_rng(0).uniform(50, 700, (60, 2))
    mapped = np.column_stack([points, np.ones(60)]) @ view.T
    seen = (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)
    config = VerifyConfig("homography", method, residual_threshold=2)
    assert verify(points.astype(np.float32), seen, config).num_inliers >= 57


@pytest.mark.parametrize("model", MODELS)
def test_both_methods_agree_on_clean_matches(model):
    points, seen, true = planted(model, share=0.8)
    found = [verify(points, seen, VerifyConfig(model, method, 8)) for method in METHODS]
    for each in found:
        assert each.inliers[true].all()
        assert (found[0].inliers != each.inliers).sum() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
def test_fewer_matches_than_the_model_needs_give_an_empty_mask(method, model):
    for count in range(SAMPLES[model]):
        points = np.random.default_rng(0).uniform(0, 9, (count, 2)).astype(np.float32)
        found = verify(points, points, VerifyConfig(model=model, method=method))
        assert found.model is None and found.num_inliers == 0
        assert found.inliers.shape == (count,)


def test_settings_outside_their_range_are_refused():
    points = np.zeros((5, 2), np.float32)
    for config in (
        VerifyConfig(residual_threshold=0),
        VerifyConfig(residual_threshold=float("nan")),
        VerifyConfig(max_trials=0),
    ):
        with pytest.raises(UsageError, match="above 0"):
            verify(points, points, config)
    for seed in (-1, 2**31):
        with pytest.raises(UsageError, match="seed"):
            verify(points, points, VerifyConfig(seed=seed))
    with pytest.raises(ValueError, match="matched keypoints"):
        verify(points, points[:3])


def test_the_fast_methods_recall_at_least_what_the_reference_does():
    for count, share in ((300, 0.2), (300, 0.5)):
        pair = make_pair(count, share, [count, 1])
        scores = {}
        for method in METHODS:
            found = verify(
                pair.keypoints0, pair.keypoints1, VerifyConfig(method=method)
            )
            right = (found.inliers & pair.true).sum()
            scores[method] = (right / found.num_inliers, right / pair.true.sum())
        for method in ("magsac", "msac"):
            assert scores[method][0] >= scores["ransac"][0] - 0.02
            assert scores[method][1] >= scores["ransac"][1] - 0.02


def test_the_bench_reports_every_method(monkeypatch):
    monkeypatch.setattr("delf_common.bench.verify.COUNTS", (60,))
    monkeypatch.setattr("delf_common.bench.verify.INLIER_RATIOS", (0.5,))
    result = run_verify_bench(pairs=2, repeats=3)
    assert result["all"]["delf MAGSAC"]["recall"] > 0.9
    slow, fast = (result["all"][n] for n in ("scikit-image RANSAC", "delf MSAC"))
    assert fast["times_faster"] == slow["milliseconds"] / fast["milliseconds"] > 0
    assert slow["times_faster_mean"] == 1
    text = format_table(result)
    assert "all, median" in text and "all, mean" in text
    assert "scikit-image RANSAC" in text
