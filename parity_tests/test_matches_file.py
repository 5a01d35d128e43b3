# SPDX-License-Identifier: Apache-2.0
"""Matches files read back as written, and as hloc reads them; pairs as text."""

import json

import h5py
import numpy as np
import pytest

from delf_common.cli.main import main
from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.feature_file import FORMAT, add_features
from delf_common.io.matches_file import (
    list_pairs,
    read_matches,
    read_pairs,
    write_matches,
    write_pairs,
)
from delf_common.matching.matcher import ImageMatch
from delf_common.matching.nearest import Matches
from delf_common.matching.verification import Verification

NAMES = ("query/a b.jpg", "db/ü.jpg")
MODEL = np.array([[2.0, 0, 5], [0, 4, 7], [0, 0, 1]])
NOTHING = ImageMatch(
    Matches(np.zeros((0, 2), np.intp), np.zeros(0, np.float32)),
    Verification(None, np.zeros(0, bool)),
)


@pytest.fixture
def found():
    """Four matches of five and six keypoints; the third is no inlier."""
    pairs = np.array([[0, 4], [1, 3], [3, 5], [4, 0]], np.intp)
    distances = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    inliers = np.array([True, True, False, True])
    return ImageMatch(Matches(pairs, distances), Verification(MODEL, inliers))


def hloc_matches(path, name0, name1):
    """The reading rule of hloc: either order of the names, -1 for no match."""
    with h5py.File(path) as file:
        keys = [name.replace("/", "-") for name in (name0, name1)]
        turned = "/".join(keys) not in file
        group = file["/".join(keys[::-1] if turned else keys)]
        matches0, scores0 = group["matches0"][()], group["matching_scores0"][()]
    rows = np.where(matches0 != -1)[0]
    pairs = np.stack([rows, matches0[rows]], axis=1)
    return (np.flip(pairs, axis=1) if turned else pairs), scores0[rows]


@pytest.mark.parametrize("verified", [True, False])
def test_hloc_reads_the_matches(found, tmp_path, verified):
    path = tmp_path / "matches.h5"
    write_matches(path, [(NAMES, 5, found)], verified=verified)
    pairs, scores = hloc_matches(path, *NAMES)
    keep = found.verification.inliers | (not verified)
    np.testing.assert_array_equal(pairs, found.matches.pairs[keep])
    np.testing.assert_allclose(scores, 1 - found.matches.distances[keep] ** 2 / 2)
    turned, _ = hloc_matches(path, *NAMES[::-1])
    np.testing.assert_array_equal(turned, pairs[:, ::-1])
    with h5py.File(path) as file:
        assert file["query-a b.jpg/db-ü.jpg/matches0"].shape == (5,)


def test_putative_matches_read_back_with_the_same_inliers(found, tmp_path):
    path = tmp_path / "matches.h5"
    write_matches(path, [(NAMES, 5, found)], verified=False)
    back = read_matches(path, *NAMES)
    np.testing.assert_array_equal(back.matches.pairs, found.matches.pairs)
    np.testing.assert_allclose(
        back.matches.distances, found.matches.distances, atol=1e-6
    )
    np.testing.assert_array_equal(back.verification.model, MODEL)
    assert back.verification.inliers.tolist() == [True, True, False, True]


def test_verified_matches_are_inliers_only(found, tmp_path):
    path = tmp_path / "matches.h5"
    write_matches(path, [(NAMES, 5, found), (("x", "y"), 0, NOTHING)])
    back = read_matches(path, *NAMES)
    assert back.matches.pairs.tolist() == [[0, 4], [1, 3], [4, 0]]
    assert back.verification.num_inliers == 3
    nothing = read_matches(path, "x", "y")
    assert len(nothing.matches) == 0 and nothing.verification.model is None


def test_a_pair_is_found_in_either_order(found, tmp_path):
    path = tmp_path / "matches.h5"
    write_matches(path, [(NAMES, 5, found)], verified=False)
    back = read_matches(path, *NAMES[::-1])
    assert back.matches.pairs.tolist() == [[0, 4], [3, 1], [4, 0], [5, 3]]
    assert back.verification.inliers.tolist() == [True, True, True, False]
    np.testing.assert_allclose(back.verification.model @ MODEL, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(back.matches.distances, [0.4, 0.2, 0.1, 0.3], atol=1e-6)


def test_a_file_of_hloc_itself_has_matches_and_no_verdict(tmp_path):
    path = tmp_path / "hloc.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a.jpg/b.jpg")
        group["matches0"] = np.array([2, -1, 0], np.int16)
        group["matching_scores0"] = np.array([0.5, 0, 1], np.float16)
    back = read_matches(path, "a.jpg", "b.jpg")
    assert back.matches.pairs.tolist() == [[0, 2], [2, 0]]
    np.testing.assert_allclose(back.matches.distances, [1, 0])
    assert back.verification.model is None and back.verification.num_inliers == 0


def test_missing_doubled_and_damaged_matches_are_named(found, tmp_path):
    path = tmp_path / "matches.h5"
    write_matches(path, [(NAMES, 5, found)])
    with pytest.raises(DelfError, match="no matches of a and b"):
        read_matches(path, "a", "b")
    before = path.read_bytes()
    with pytest.raises(DelfError, match="twice"):
        write_matches(path, [(NAMES, 5, found), (NAMES, 5, found)])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["matches.h5"]
    path.write_bytes(b"no HDF5")
    with pytest.raises(DelfError, match="no matches file"):
        read_matches(path, *NAMES)


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


@pytest.fixture
def feature_file(tmp_path):
    """Three images: "b" is "a" moved by (3, 4) pixels, "c" has nothing."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 300, (40, 2)).astype(np.float32)
    rows = rng.normal(size=(40, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ones = np.ones(40, np.float32)
    path = tmp_path / "features.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        info = {"dimension": 8, "descriptor_dtype": "float32", "config": {}}
        file.attrs["info"] = json.dumps(info)
        one = Features(points, rows, ones, ones, (320, 320))
        moved = Features(points + np.float32([3, 4]), rows, ones, ones, (320, 320))
        empty = Features.empty(8, (320, 320))
        for name, features in {"a": one, "b": moved, "c": empty}.items():
            add_features(file, name, features, "float32")
    return path


def test_every_pair_of_a_feature_file_is_matched(feature_file, tmp_path, capsys):
    output = tmp_path / "matches.h5"
    call = ["match", "--features", feature_file, "--pairs", "all", "--output", output]
    assert main([*map(str, call), "--json"]) == 0
    counts = {"pairs": 3, "verified": 1, "matches": 40, "inliers": 40}
    assert json.loads(capsys.readouterr().out) == counts
    found = read_matches(output, "a", "b")
    np.testing.assert_array_equal(found.matches.pairs, np.arange(40)[:, None] + [0, 0])
    wanted = [[1, 0, 3], [0, 1, 4], [0, 0, 1]]
    np.testing.assert_allclose(found.verification.model, wanted, atol=1e-3)
    assert len(read_matches(output, "a", "c").matches) == 0
    assert main([*map(str, call)]) == 1  # it exists


def test_listed_pairs_are_matched_and_no_others(feature_file, tmp_path):
    output, listed = tmp_path / "matches.h5", tmp_path / "pairs.txt"
    call = ["match", "--features", feature_file, "--pairs", listed, "--output", output]
    listed.write_text("b a\n")
    assert main([*map(str, call)]) == 0
    assert list_pairs(output, "abc") == [("b", "a")]
    listed.write_text("a missing\n")
    assert main([*map(str, call), "--overwrite"]) == 1
    assert list_pairs(output, "abc") == [("b", "a")]
    assert main([*map(str, call), "--overwrite", "photograph.jpg"]) == 2
