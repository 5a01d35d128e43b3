# SPDX-License-Identifier: Apache-2.0
"""Putative matches equal a slow, obvious search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delf_common.config import MatchConfig
from delf_common.errors import DelfError, UsageError
from delf_common.features import Features
from delf_common.matching import nearest
from delf_common.matching.matcher import match
from delf_common.matching.nearest import match_descriptors


def slow_matches(rows0, rows1, config):
    """Walk over all pairs; the first of equal similarities wins.

    Mutual: nobody is nearer to the chosen one; of equally near ones that chose it the
    first keeps it.
    """
    cosines = rows0 @ rows1.T
    distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    found, taken = [], set()
    for i in range(len(rows0)):
        best = max(range(len(rows1)), key=lambda j: (cosines[i, j], -j), default=None)
        if best is None:
            continue
        nearer = any(cosines[k, best] > cosines[i, best] for k in range(len(rows0)))
        mutual = not nearer and best not in taken
        if mutual:
            taken.add(best)
        others = [distances[i, j] for j in range(len(rows1)) if j != best]
        if (
            config.distance_threshold is not None
            and not distances[i, best] < config.distance_threshold
        ):
            continue
        if (
            config.ratio_threshold is not None
            and others
            and not distances[i, best] < config.ratio_threshold * min(others)
        ):
            continue
        if config.mutual and not mutual:
            continue
        found.append((i, best))
    return found


# Rows from a small set make ties; multiples of 1/2 make their products exact.
UNIT = [
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.5, 0.5, 0.5, 0.5),
    (0.5, -0.5, 0.5, 0.5),
    (0.5, 0.5, -0.5, 0.5),
    (-1.0, 0.0, 0.0, 0.0),
]
some_rows = st.lists(st.sampled_from(UNIT), max_size=9).map(
    lambda rows: np.array(rows, np.float32).reshape(-1, 4)
)


@given(
    some_rows,
    some_rows,
    st.sampled_from([None, 0.9, 1.2]),
    st.sampled_from([None, 0.8, 0.99]),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_matches_equal_the_obvious_search(rows0, rows1, distance, ratio, mutual):
    config = MatchConfig(distance, ratio, mutual)
    found = match_descriptors(rows0, rows1, config)
    assert [tuple(pair) for pair in found.pairs] == slow_matches(rows0, rows1, config)


@pytest.mark.parametrize("block", [1, 7 * 40, 59 * 40])
def test_blocks_do_not_change_the_matches(block, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 16)).astype(np.float32) for n in (60, 40)]
    rows = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rows]
    config = MatchConfig(1.4, 0.98, True)
    whole = match_descriptors(*rows, config)
    assert [tuple(pair) for pair in whole.pairs] == slow_matches(*rows, config)
    monkeypatch.setattr(nearest, "BLOCK_CELLS", block)
    parts = match_descriptors(*rows, config)
    np.testing.assert_array_equal(parts.pairs, whole.pairs)
    np.testing.assert_allclose(parts.distances, whole.distances, atol=1e-6)
    assert 0 < len(whole) < 40


def test_distances_are_euclidean():
    rows = np.array([[0.6, 0.8], [1, 0]], np.float32)
    other = np.array([[0.8, 0.6]], np.float32)
    found = match_descriptors(rows, other, MatchConfig(None, None, False))
    expected = np.linalg.norm(rows - other, axis=1)
    np.testing.assert_allclose(found.distances, expected, atol=1e-6)
    assert found.pairs.tolist() == [[0, 0], [1, 0]]


def test_a_distance_equal_to_the_threshold_is_no_match():
    row = np.array([[1, 0]], np.float32)
    opposite = MatchConfig(2.0, None, False)
    assert len(match_descriptors(row, -row, opposite)) == 0
    assert len(match_descriptors(row, row, MatchConfig(1e-3))) == 1


def test_no_descriptors_give_no_matches_and_other_widths_are_refused():
    none = np.zeros((0, 4), np.float32)
    assert match_descriptors(none, none).pairs.shape == (0, 2)
    assert match_descriptors(none, np.ones((2, 4), np.float32)).pairs.shape == (0, 2)
    with pytest.raises(ValueError, match="width"):
        match_descriptors(none, np.zeros((3, 5), np.float32))


def test_a_mutual_match_uses_every_descriptor_once():
    rng = np.random.default_rng(1)
    rows = np.array(UNIT, np.float32)[rng.integers(0, len(UNIT), 50)]
    found = match_descriptors(rows, rows[::-1].copy())
    assert len(found) == len(np.unique(rows, axis=0))
    assert len(set(found.pairs[:, 1].tolist())) == len(found)


def test_the_ratio_test_passes_where_there_is_one_candidate_only():
    row, other = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    config = MatchConfig(None, 0.5, False)
    assert len(match_descriptors(row, other, config)) == 1
    assert len(match_descriptors(row, np.repeat(other, 2, axis=0), config)) == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (5, 1, 3), (3, 3, 0)])
def test_the_smallest_shapes_work(shape):
    count0, count1, width = shape
    ones0, ones1 = np.ones((count0, width)), np.ones((count1, width))
    scale = np.float32(max(width, 1) ** 0.5)
    found = match_descriptors(
        ones0.astype(np.float32) / scale,
        ones1.astype(np.float32) / scale,
        MatchConfig(None, None, False),
    )
    assert found.pairs.tolist() == [[i, 0] for i in range(count0)]
    assert found.pairs.dtype == np.intp and found.distances.dtype == np.float32


def test_what_cannot_be_compared_is_refused():
    good, bad = np.ones((2, 1), np.float32), np.array([[np.nan]], np.float32)
    with pytest.raises(DelfError, match="NaN"):
        match_descriptors(good, bad)
    with pytest.raises(DelfError, match="NaN"):
        match_descriptors(bad, good)
    for config in (MatchConfig(distance_threshold=0), MatchConfig(float("nan"))):
        with pytest.raises(UsageError, match="distance_threshold"):
            match_descriptors(good, good, config)
    for ratio in (0.0, 1.5):
        with pytest.raises(UsageError, match="ratio_threshold"):
            match_descriptors(good, good, MatchConfig(ratio_threshold=ratio))


@pytest.fixture
def pair():
    """Two images of which the second is the first, moved by 5 and 7 pixels."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(30, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    keypoints = rng.uniform(0, 200, (30, 2)).astype(np.float32)
    ones = np.ones(30, np.float32)
    first = Features(keypoints, rows, ones, ones, (200, 200))
    moved = keypoints[::-1] + np.array([5, 7], np.float32)
    second = Features(moved, rows[::-1].copy(), ones, ones, (200, 200))
    return first, second


def test_two_images_match_and_the_model_is_the_motion(pair):
    found = match(*pair)
    assert found.verification.num_inliers == 30
    np.testing.assert_allclose(
        found.verification.model, [[1, 0, 5], [0, 1, 7], [0, 0, 1]], atol=1e-3
    )
    nothing = match(Features.empty(8, (9, 9)), pair[1])
    assert len(nothing.matches) == 0 and nothing.verification.model is None
