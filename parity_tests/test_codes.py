# SPDX-License-Identifier: Apache-2.0
"""Codes find what the exact search finds, grow with the index, and must fit it."""

import json
import sys

import h5py
import numpy as np
import pytest

from delf_common.bench.synthetic import SyntheticCollection
from delf_common.cli.main import main
from delf_common.config import CodesConfig, SearchConfig
from delf_common.errors import DelfError, UsageError
from delf_common.io.feature_file import FORMAT, add_features
from delf_common.retrieval.codes import codes_path, count_votes_by_codes
from delf_common.retrieval.coding import auto_cells, build_codes
from delf_common.retrieval.exact import count_votes
from delf_common.retrieval.index import Index, extend_index, write_index
from delf_common.retrieval.search import search

faiss = pytest.importorskip("faiss")
COLLECTION = SyntheticCollection(40, descriptors=60, dimension=16)
SMALL = CodesConfig(codes="pq", cells=16, code_bytes=8, descriptors_per_cell=20)
INFO = {"weights": "w", "weights_sha256": "s", "backend": "b", "config": {"x": 1}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An index of 40 images with codes; do not write to it."""
    path = tmp_path_factory.mktemp("codes") / "places.index"
    write_index(path, COLLECTION.all_features(), INFO, 16)
    build_codes(path, SMALL)
    return path


@pytest.fixture
def places(made, tmp_path):
    """A copy of it that a test may spoil."""
    path = tmp_path / "places.index"
    path.write_bytes(made.read_bytes())
    codes_path(path).write_bytes(codes_path(made).read_bytes())
    return path


def votes(index, query, probes=16):
    return count_votes_by_codes(index.codes, len(index), query, 0.8, probes)


def test_codes_rank_the_images_of_a_place_as_the_exact_search_does(made):
    with Index(made) as index:
        for number in range(40, 44):
            query = COLLECTION.image(number)
            exact = count_votes(index, query, 0.8, 4096)
            coded = votes(index, query)
            assert exact.max() > 10
            assert np.corrcoef(exact, coded)[0, 1] > 0.9
            assert exact[coded.argmax()] > 0.7 * exact.max()


def test_more_probes_find_more_votes_up_to_all_cells(made):
    with Index(made) as index:
        query = COLLECTION.image(40)
        sums = [votes(index, query, probes).sum() for probes in (1, 4, 16, 999)]
    assert sums[0] < sums[1] <= sums[2] == sums[3]


def test_a_descriptor_votes_once_for_an_image(tmp_path):
    row = COLLECTION.image(0)[:1]
    path = tmp_path / "same.index"
    images = [(name, f) for name, f in COLLECTION.all_features()]
    twins = images[0][1].take(np.zeros(30, np.intp))
    write_index(path, [*images, ("twins", twins)], INFO, 16)
    build_codes(path, SMALL)
    with Index(path) as index:
        assert votes(index, row)[40] == 1
        assert votes(index, np.repeat(row, 3, axis=0))[40] == 3


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_index_gives_the_same_codes(made, places, threads):
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    build_codes(places, SMALL)
    faiss.omp_set_num_threads(before)
    assert codes_path(places).read_bytes() == codes_path(made).read_bytes()


def test_the_seed_acts(made, places):
    build_codes(places, CodesConfig("pq", 16, 8, descriptors_per_cell=20, codes_seed=1))
    assert codes_path(places).read_bytes() != codes_path(made).read_bytes()


def test_a_search_verifies_the_candidates_of_the_codes_exactly(made):
    with Index(made) as index:
        query = index.features(7)
        found = search(index, query, config=SearchConfig(verify_top=5))
        assert found[0].name == index.names[7] and found[0].inliers == 60
        exact = search(index, query, config=SearchConfig("exact", verify_top=5))
        assert found[0].inliers == exact[0].inliers
        assert {r.votes for r in found} != {r.votes for r in exact}


def test_an_index_without_codes_is_searched_exactly(places):
    codes_path(places).unlink()
    with Index(places) as index:
        assert search(index, index.features(7))[0].name == index.names[7]
        with pytest.raises(DelfError, match="has no codes"):
            search(index, index.features(7), config=SearchConfig(voting="pq"))


def test_an_empty_query_has_no_votes(made):
    with Index(made) as index:
        assert votes(index, np.zeros((0, 16), np.float32)).tolist() == [0] * 40
        narrow = SyntheticCollection(1, descriptors=3, dimension=4).features(0)
        with pytest.raises(UsageError, match="4-dimensional"):
            search(index, narrow)


def spoil_other(path):
    other = SyntheticCollection(40, descriptors=60, dimension=16, seed=1)
    write_index(path, other.all_features(), INFO, 16)  # same names, same counts


def spoil_grown(path):
    extend_index(path, [("new", COLLECTION.features(50))])


def spoil_cut(path):
    codes_path(path).write_bytes(codes_path(path).read_bytes()[:-9])


def spoil_inside(path):
    content = codes_path(path).read_bytes()
    codes_path(path).write_bytes(b"none" + content[4:])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_other, "another index"),
        (spoil_grown, "41 and 2460"),
        (spoil_cut, "cut short"),
        (spoil_inside, "damaged"),
    ],
)
def test_codes_that_do_not_fit_are_refused_with_advice(places, spoil, message):
    spoil(places)
    with Index(places) as index:
        with pytest.raises(DelfError, match=message) as refused:
            search(index, index.features(0))
        assert "--codes pq" in str(refused.value)
        exact = SearchConfig(voting="exact")
        assert search(index, index.features(0), config=exact)[0].inliers == 60


def test_without_faiss_the_way_out_is_named_and_works(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with Index(places) as index:
        with pytest.raises(DelfError, match=r"faiss-cpu.*--voting exact"):
            search(index, index.features(0))
        found = search(index, index.features(0), config=SearchConfig(voting="exact"))
        assert found[0].inliers == 60


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"code_bytes": 5}, "1, 2, 4, 8, 16"),
        ({"cells": 99999}, "at most 2400"),
        ({"cells": 0}, "--cells 0"),
        ({"descriptors_per_cell": 0}, "--descriptors_per_cell 0"),
        ({"codes_seed": -1}, "--codes_seed -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(places, settings, message):
    with pytest.raises(UsageError, match=message):
        build_codes(places, CodesConfig(codes="pq", **settings))


def test_too_few_descriptors_are_refused(tmp_path):
    write_index(tmp_path / "few.index", [("a", COLLECTION.features(0))], INFO, 16)
    with pytest.raises(DelfError, match="60 descriptors"):
        build_codes(tmp_path / "few.index", SMALL)


def test_cells_grow_as_the_square_root():
    assert [auto_cells(n) for n in (1, 1000, 5_000_000, 10**9)] == [1, 128, 8192, 2**17]


def feature_file(path, numbers):
    """Write images of the collection as delf extract would."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        made = {**INFO, "dimension": 16, "descriptor_dtype": "float16"}
        file.attrs["info"] = json.dumps(made)
        for number in numbers:
            add_features(file, f"{number:02d}", COLLECTION.features(number), "float16")
    return str(path)


def test_an_index_and_its_codes_grow_together(tmp_path, capsys):
    some, more = (
        feature_file(tmp_path / f"{name}.h5", numbers)
        for name, numbers in (("some", range(20)), ("more", range(20, 40)))
    )
    index = ["index", "--output", str(tmp_path / "grown.index")]
    assert main([*index, some, "--codes", "pq", "--cells", "16"]) == 0
    assert "codes of 8 bytes in 16 cells" in capsys.readouterr().out
    codes = codes_path(tmp_path / "grown.index")
    before = faiss.read_index(str(codes))
    assert main([*index, more, "--add"]) == 0  # codes that are there grow
    after = faiss.read_index(str(codes))
    assert (before.ntotal, after.ntotal) == (1200, 2400)
    one, other = (q.quantizer.reconstruct_n(0, 16) for q in (before, after))
    np.testing.assert_array_equal(one, other)  # nothing was learned again
    one, other = (faiss.vector_to_array(q.pq.centroids) for q in (before, after))
    np.testing.assert_array_equal(one, other)
    with Index(tmp_path / "grown.index") as grown:
        query = COLLECTION.image(33)
        assert votes(grown, query).argmax() == 33
    content = codes.read_bytes()
    assert main([*index, more, "--add", "--codes", "pq"]) == 0  # nothing is new
    assert codes.read_bytes() == content


def test_codes_that_do_not_fit_are_made_again_only_if_asked_for(tmp_path, capsys):
    some = feature_file(tmp_path / "some.h5", range(10))
    more = feature_file(tmp_path / "more.h5", range(12))
    path = tmp_path / "places.index"
    index = ["index", "--output", str(path)]
    pq = ["--codes", "pq", "--cells", "8"]
    assert main([*index, some]) == 0 and not codes_path(path).exists()
    assert main([*index, some, "--add", *pq]) == 0  # to an index that is there
    spoil_grown(path)
    content = path.read_bytes()
    assert main([*index, more, "--add"]) == 1
    assert "another index" in capsys.readouterr().err and path.read_bytes() == content
    assert main([*index, more, "--add", *pq]) == 0
    with Index(path) as grown:
        assert len(grown) == 13 and grown.codes.info["images"] == 13
    assert main([*index, some, "--overwrite"]) == 0  # without codes: none are left
    assert not codes_path(path).exists()
