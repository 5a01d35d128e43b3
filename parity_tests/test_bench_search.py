# SPDX-License-Identifier: Apache-2.0
"""The benches of matching and search measure what they say, in small."""

import json

import numpy as np
import pytest

from delf_common.bench import match, search
from delf_common.bench.search_text import format_table
from delf_common.bench.synthetic import SyntheticCollection
from delf_common.cli.main import main

pytest.importorskip("faiss")


def test_every_way_of_matching_finds_the_same_pairs(monkeypatch):
    monkeypatch.setattr(match, "ROUNDS", 1)
    result = match.run_match_bench(80, repeats=1)
    for row in result["rows"]:
        found = row["matches"]
        assert found["delf, mutual"] == found["cv2 BFMatcher"] == found["faiss flat"]
        assert found["scipy k-d tree"] >= found["delf, mutual"] > 0  # one direction
        assert row["times_product"] > 0
    assert "delf / product" in match.format_table(result)


def test_the_search_bench_grows_and_compares(capsys):
    small = ["--sizes", "20,40", "--descriptors", "30", "--queries", "2"]
    assert main(["bench", "search", *small, "--repeats", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    one, two = result["rows"]
    assert (one["descriptors"], two["descriptors"]) == (600, 1200)
    assert one["flat_bytes"] == 600 * 112 * 4 and one["code_bytes"] == 56
    for row in result["rows"]:
        assert set(row["seconds"]) == {"exact", "codes", "faiss flat"}
        assert 0.5 < row["recall"]["top"] <= 1
    assert set(result["fits"]) == {"exact", "codes", "faiss flat"}
    assert "processor" in result["machine"]
    assert "million" in format_table(result)


def test_recall_counts_ties_either_way():
    exact = np.arange(300, 0, -1) // 100  # 100 images with 3 (nearly), 2, 1 votes
    votes = {"exact": [exact], "codes": [exact[::-1].copy()]}
    place = [np.arange(10)]
    assert search.compare_votes(votes, place) == pytest.approx(
        {
            "top": (exact[200:] >= np.sort(exact)[200]).mean(),
            "place_exact": 1,
            "place_codes": 0,
        }
    )
    votes["codes"] = [exact]
    assert search.compare_votes(votes, place)["top"] == 1


@pytest.mark.parametrize("sizes", ["", "0", "10,x", "-5"])
def test_sizes_that_are_none_are_refused(sizes, capsys):
    assert main(["bench", "match", f"--sizes={sizes}" if sizes else "--sizes=,"]) == 2
    assert "whole numbers" in capsys.readouterr().err


def test_a_synthetic_image_depends_on_its_number_alone():
    few, many = (SyntheticCollection(10, n, 16) for n in (40, 80))
    np.testing.assert_array_equal(few.image(3), few.image(3))
    assert np.allclose(np.linalg.norm(many.image(12), axis=1), 1, atol=1e-5)
    assert not np.array_equal(few.image(3), few.image(4))
    near = (few.image(0) @ many.image(20).T).max(axis=1) > 0.68
    assert near.sum() >= 2  # 0 and 20 show place 0 of the only place
