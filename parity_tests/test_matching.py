# SPDX-License-Identifier: Apache-2.0
"""Putative matches equal a slow, obvious search; and the files they are kept in."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delf_common.config import MatchConfig
from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.matches_file import (
    read_matches,
    read_pairs,
    write_matches,
    write_pairs,
)
from delf_common.matching import nearest
from delf_common.matching.matcher import match
from delf_common.matching.nearest import match_descriptors


def slow_matches(rows0, rows1, config):
    """Walk over all pairs; the first of equal similarities wins, both ways."""
    cosines = rows0 @ rows1.T
    distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    found = []
    for i in range(len(rows0)):
        best = max(range(len(rows1)), key=lambda j: (cosines[i, j], -j), default=None)
        if best is None:
            continue
        others = [distances[i, j] for j in range(len(rows1)) if j != best]
        back = max(range(len(rows0)), key=lambda k: (cosines[k, best], -k))
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
        if config.mutual and back != i:
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


@pytest.mark.parametrize("block", [1, 7, 100])
def test_blocks_do_not_change_the_matches(block, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 16)).astype(np.float32) for n in (60, 40)]
    rows = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rows]
    config = MatchConfig(1.4, 0.98, True)
    whole = match_descriptors(*rows, config)
    monkeypatch.setattr(nearest, "BLOCK_ROWS", block)
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


def test_a_matches_file_reads_back_and_by_the_rules_of_hloc(pair, tmp_path):
    found, path = match(*pair), tmp_path / "matches.h5"
    nothing = match(Features.empty(8, (9, 9)), pair[1])
    names = ("query/a b.jpg", "db/ü.jpg")
    write_matches(path, [(names, 30, found), (("x", "y"), 0, nothing)])
    with h5py.File(path) as file:  # hloc: "/" within a name becomes "-"
        matches0 = file["query-a b.jpg"]["db-ü.jpg"]["matches0"][()]
        scores0 = file["query-a b.jpg/db-ü.jpg/matching_scores0"][()]
    assert matches0.tolist() == list(range(30))[::-1]
    np.testing.assert_allclose(scores0, 1, atol=1e-6)
    back = read_matches(path, *names)
    np.testing.assert_array_equal(back.matches.pairs, found.matches.pairs)
    np.testing.assert_array_equal(back.verification.model, found.verification.model)
    assert back.verification.num_inliers == 30
    assert len(read_matches(path, "x", "y").matches) == 0
    with pytest.raises(DelfError, match="no matches of a and b"):
        read_matches(path, "a", "b")
    with pytest.raises(DelfError, match="twice"):
        write_matches(path, [(names, 30, found), (names, 30, found)])


def test_pairs_are_two_names_a_line(tmp_path):
    path = tmp_path / "pairs.txt"
    write_pairs(path, [("a.jpg", "b/c.jpg"), ("d", "e")])
    assert path.read_text() == "a.jpg b/c.jpg\nd e\n"
    assert read_pairs(path) == [("a.jpg", "b/c.jpg"), ("d", "e")]
    path.write_text("a b\n\na b c\n")
    with pytest.raises(DelfError, match="line 3: 3 names"):
        read_pairs(path)
    with pytest.raises(DelfError, match="white space"):
        write_pairs(path, [("a b", "c")])
    with pytest.raises(DelfError, match="missing"):
        read_pairs(tmp_path / "missing.txt")
