# SPDX-License-Identifier: Apache-2.0
"""The index keeps every feature, and the search counts and ranks exactly."""

import h5py
import numpy as np
import pytest

from delf_common.config import MatchConfig, SearchConfig
from delf_common.errors import DelfError, UsageError
from delf_common.features import Features
from delf_common.retrieval.exact import count_votes
from delf_common.retrieval.index import Index, write_index
from delf_common.retrieval.search import Result, rank, search


def random_features(rng, count, dimension=8, size=(200, 100)):
    rows = rng.normal(size=(count, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    keypoints = rng.uniform(0, 100, (count, 2)).astype(np.float32)
    ones = np.ones(count, np.float32)
    return Features(keypoints, rows, ones, ones * 2, size)


@pytest.fixture
def collection():
    """Seven images with 0 to 50 features, empty ones first, last and in a row."""
    rng = np.random.default_rng(0)
    counts = [0, 50, 0, 0, 7, 23, 0]
    return {f"image_{i}.jpg": random_features(rng, n) for i, n in enumerate(counts)}


@pytest.fixture
def index(collection, tmp_path):
    """The collection as an index with exact descriptors."""
    path = tmp_path / "places.h5"
    write_index(path, collection.items(), {"weights": "fake"}, 8, "float32")
    with Index(path) as opened:
        yield opened


def slow_votes(query, collection, threshold):
    return [
        sum(
            any(np.linalg.norm(row - other) < threshold for other in f.descriptors)
            for row in query.descriptors
        )
        for f in collection.values()
    ]


def test_an_index_gives_back_every_feature(index, collection):
    assert index.names == list(collection) and index.num_features == 80
    assert index.info == {"weights": "fake"} and index.dimension == 8
    for name, features in collection.items():
        found = index.features(name)
        for column in ("keypoints", "descriptors", "scores", "scales"):
            np.testing.assert_array_equal(
                getattr(found, column), getattr(features, column)
            )
        assert found.image_size == (200, 100)


@pytest.mark.parametrize("block_rows", [1, 8, 30, 57, 1000])
def test_blocks_hold_whole_images_and_all_of_them(index, block_rows):
    blocks = list(index.descriptor_blocks(block_rows))
    assert [b[0] for b in blocks] == [0, *(b[1] for b in blocks[:-1])]
    assert blocks[-1][1] == len(index)
    for first, after, rows in blocks:
        assert len(rows) == index.offsets[after] - index.offsets[first]
        assert len(rows) <= block_rows or after == first + 1
    together = np.concatenate([b[2] for b in blocks])
    np.testing.assert_array_equal(
        together, np.concatenate([index.features(i).descriptors for i in range(7)])
    )


@pytest.mark.parametrize("block_rows", [1, 30, 1000])
@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.2])
def test_votes_equal_the_obvious_triple_loop(index, collection, block_rows, threshold):
    query = random_features(np.random.default_rng(1), 20)
    votes = count_votes(index, query.descriptors, threshold, block_rows)
    assert votes.tolist() == slow_votes(query, collection, threshold)
    assert votes.sum() > 0


def test_a_query_without_descriptors_has_no_votes(index):
    votes = count_votes(index, np.zeros((0, 8), np.float32), 0.8, 100)
    assert votes.tolist() == [0] * 7
    names = [result.name for result in search(index, Features.empty(8, (9, 9)))]
    assert names == sorted(index.names)


def test_descriptors_of_another_width_are_refused(index):
    with pytest.raises(UsageError, match="4-dimensional"):
        count_votes(index, np.ones((1, 4), np.float32), 0.8, 100)


def test_a_search_without_a_distance_threshold_is_refused(index, collection):
    with pytest.raises(UsageError, match="distance_threshold"):
        search(index, collection["image_1.jpg"], MatchConfig(distance_threshold=None))


def test_an_image_finds_itself_first_and_can_be_left_out(index, collection):
    query = collection["image_5.jpg"]
    results = search(index, query)
    assert results[0].name == "image_5.jpg" and results[0].inliers == 23
    assert len(results) == 7
    without = search(index, query, exclude={"image_5.jpg"})
    assert "image_5.jpg" not in [r.name for r in without] and len(without) == 6


def test_only_the_top_by_votes_is_verified(index, collection):
    query = collection["image_5.jpg"]
    wide = MatchConfig(distance_threshold=1.9)
    top = search(index, query, wide, config=SearchConfig(verify_top=1))
    assert [r.verified for r in top].count(True) == 1
    everything = search(index, query, wide, config=SearchConfig(verify_top="all"))
    assert [r.verified for r in everything].count(True) == 3  # the others are empty


def test_ranking_is_by_inliers_then_votes_then_name():
    mixed = [
        Result("b", 3, 9, True),
        Result("c", 5, 1, True),
        Result("a", 3, 9, True),
        Result("d", 0, 50, False),
        Result("e", 3, 10, True),
    ]
    assert [r.name for r in rank(mixed)] == ["c", "e", "a", "b", "d"]


def test_two_images_of_one_name_are_refused_and_nothing_is_left(tmp_path):
    path = tmp_path / "places.h5"
    images = [("a", Features.empty(8, (1, 1)))] * 2
    with pytest.raises(DelfError, match="'a'"):
        write_index(path, images, {}, 8)
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_nothing_can_be_searched(tmp_path):
    write_index(tmp_path / "none.h5", [], {}, 8)
    with Index(tmp_path / "none.h5") as nothing:
        assert search(nothing, Features.empty(8, (1, 1))) == []
        query = random_features(np.random.default_rng(0), 3)
        assert search(nothing, query) == []


def test_other_files_are_refused_with_advice(tmp_path):
    with pytest.raises(DelfError, match="no such index"):
        Index(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(DelfError, match="not HDF5"):
        Index(tmp_path / "text.h5")
    h5py.File(tmp_path / "other.h5", "w").close()
    with pytest.raises(DelfError, match="format None"):
        Index(tmp_path / "other.h5")


def test_an_unknown_image_is_named(index):
    with pytest.raises(DelfError, match=r"nowhere\.jpg"):
        index.features("nowhere.jpg")
