# SPDX-License-Identifier: Apache-2.0
"""The score threshold keeps what becomes an inlier, and drops what never does."""

import dataclasses

import h5py
import numpy as np
import pytest

from delf_common.config import MatchConfig
from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.feature_file import FeatureReader, add_features
from delf_common.training.score_threshold import (
    choose_threshold,
    lowest_of,
    pairs_of_views,
)


def view(seed, junk):
    """50 points of a place that score 2 to 3, and others that score 0 to 1."""
    place, chance = np.random.default_rng(seed), np.random.default_rng([seed, junk])
    points = np.concatenate(
        [place.uniform(0, 300, (50, 2)), chance.uniform(0, 300, (junk, 2))]
    )
    rows = np.concatenate(
        [place.normal(size=(50, 32)), chance.normal(size=(junk, 32))]
    ).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = np.concatenate([np.linspace(3, 2, 50), chance.uniform(0, 1, junk)])
    ones = np.ones(50 + junk, np.float32)
    return Features(
        points.astype(np.float32), rows, scores.astype(np.float32), ones, (300, 300)
    )


def write(path, views):
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "delf-features 1"
        file.attrs["info"] = "{}"
        for name, features in views.items():
            add_features(file, name, features, "float32")
    return FeatureReader(path)


def test_the_threshold_lies_between_inliers_and_chance(tmp_path):
    views = {f"{c}/{i}.jpg": view(c, 30 + i) for c in (1, 2) for i in (0, 1)}
    with write(tmp_path / "f.h5", views) as reader:
        chosen = choose_threshold(reader, 0.9, MatchConfig(distance_threshold=0.2))
    assert (chosen.pairs, chosen.inliers) == (2, 100)
    assert chosen.score == pytest.approx(2.1, abs=0.02)  # a tenth of 2 to 3 is given up
    lost = 2 * (2 * 5 + 30 + 31)  # keypoints of the four views
    assert chosen.dropped == pytest.approx(lost / (4 * 50 + 122), abs=0.01)


def test_the_lower_of_the_two_scores_counts(tmp_path):
    bright, dim = view(1, 0), view(1, 0)
    dim = dataclasses.replace(dim, scores=dim.scores - 1)
    with write(tmp_path / "f.h5", {"a/0.jpg": bright, "a/1.jpg": dim}) as reader:
        assert choose_threshold(reader, 1.0).score == pytest.approx(1.0)


def test_views_without_a_partner_say_what_is_needed(tmp_path):
    views = {"a/0.jpg": view(1, 0), "b/0.jpg": view(1, 0)}
    with (
        write(tmp_path / "f.h5", views) as reader,
        pytest.raises(DelfError, match=r"f\.h5: 0 pairs.*two views"),
    ):
        choose_threshold(reader)


def test_views_are_paired_within_their_folder():
    names = ["b/1.jpg", "a/2.jpg", "a/1.jpg", "c/d/1.jpg", "c/d/2.jpg", "a/3.jpg"]
    assert list(pairs_of_views(names)) == [
        ("a/1.jpg", "a/2.jpg"),
        ("a/2.jpg", "a/3.jpg"),
        ("c/d/1.jpg", "c/d/2.jpg"),
    ]


@pytest.mark.parametrize(
    ("keep", "wanted"), [(1.0, 1.0), (0.9, 2.0), (0.95, 1.0), (0.05, 10.0), (0.0, 10.0)]
)
def test_enough_scores_reach_the_threshold(keep, wanted):
    scores = np.random.default_rng(0).permutation(np.arange(1, 11)).astype(np.float32)
    assert lowest_of(scores, keep) == wanted
