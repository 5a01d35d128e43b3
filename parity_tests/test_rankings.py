# SPDX-License-Identifier: Apache-2.0
"""Rankings files, reports and mAP.txt: what is written is what is read."""

import json
import math

import numpy as np
import pytest

from delf_common.errors import DelfError
from delf_common.retrieval.evaluation import evaluate_rankings
from delf_common.retrieval.metrics_text import metrics_text, read_metrics_text
from delf_common.retrieval.protocols import CLASSIC, MINDSPORE_ZOO, REVISITED
from delf_common.retrieval.queries import GroundTruth, Query
from delf_common.retrieval.rankings import Rankings, read_rankings, write_rankings
from delf_common.retrieval.report import table, to_json

TRUTH = GroundTruth(
    "revisited",
    ("e", "h", "j", "x", "y"),
    (
        Query("q", "q", (0, 0, 9, 9), {"easy": ("e",), "hard": ("h",), "junk": ("j",)}),
        Query("r", "r", None, {"easy": (), "hard": ("x",), "junk": ()}),
    ),
    "here",
)
LISTS = {"q": ["j", "x", "h", "y", "e"], "r": ["x", "y"]}


def test_written_rankings_are_read_back_byte_for_byte_the_same(tmp_path):
    inliers = {"q": [9, 5, np.int64(3), 0, 0], "r": [4, 0]}
    scores = {"q": [0.9, 0.5, 0.25, 0.1, 0.0], "r": np.array([0.5, 0.25])}
    mine = Rankings(LISTS, scores, inliers, {"cropped": True, "weights": "ü"})
    for name in ("a.json", "b.json"):
        write_rankings(tmp_path / name, mine)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    read = read_rankings(tmp_path / "a.json")
    assert read.lists == LISTS
    assert read.scores == {"q": scores["q"], "r": [0.5, 0.25]}
    assert read.inliers == {"q": [9, 5, 3, 0, 0], "r": [4, 0]}
    assert read.metadata == {"cropped": True, "weights": "ü"}
    assert read.cropped is True
    assert Rankings(LISTS).cropped is None


def test_an_existing_file_is_kept_without_overwrite(tmp_path):
    write_rankings(tmp_path / "a.json", Rankings(LISTS))
    with pytest.raises(DelfError, match="already exists"):
        write_rankings(tmp_path / "a.json", Rankings({}))
    write_rankings(tmp_path / "a.json", Rankings({}), overwrite=True)
    assert read_rankings(tmp_path / "a.json").lists == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"rankings": {}}', 'expected an object with "format"'),
        ('{"format": "delf-rankings 2"}', "delf-rankings 1"),
        ('{"format": "delf-rankings 1"}', "rankings: expected an object"),
        ('{"format": "delf-rankings 1", "rankings": {"q": "ab"}}', "list of str"),
        ('{"format": "delf-rankings 1", "rankings": {"q": [1]}}', "list of str"),
        (
            '{"format": "delf-rankings 1", "rankings": {"q": [], "q": []}}',
            "'q' is there twice",
        ),
        (
            '{"format": "delf-rankings 1", "rankings": {"q": ["a"]},'
            ' "inliers": {"q": [1, 2]}}',
            "2 inliers for 1 names",
        ),
        (
            '{"format": "delf-rankings 1", "rankings": {}, "scores": {"q": [true]}}',
            "list of int or float",
        ),
    ],
)
def test_malformed_json_rankings_are_refused(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DelfError, match=message):
        read_rankings(tmp_path / "r.json")


def test_text_rankings_are_split_by_tabs_or_by_spaces(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text("q a  b\n\nr\nmy query.jpg\tmy image.jpg\tb\n")
    assert read_rankings(path).lists == {
        "q": ["a", "b"],
        "r": [],
        "my query.jpg": ["my image.jpg", "b"],
    }
    path.write_text("q a\nq b\n")
    with pytest.raises(DelfError, match=r"line 2: query q is there twice"):
        read_rankings(path)
    path.write_text("q\ta\t\tb\n")
    with pytest.raises(DelfError, match="line 1: a name between tabs is empty"):
        read_rankings(path)
    with pytest.raises(DelfError, match="there is no rankings file"):
        read_rankings(tmp_path / "missing.txt")


def test_columns_of_a_rank_array_are_the_queries(tmp_path):
    path = tmp_path / "ranks.npy"
    np.save(path, np.array([[2, 3], [0, 1]]))
    lists = read_rankings(path, TRUTH).lists
    assert lists == {"q": ["j", "e"], "r": ["x", "h"]}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 3), int), "found int64 of shape"),
        (np.zeros((5, 2)), "found float64"),
        (np.array([[0, 5]]), "index 5 is outside the 5 images"),
        (np.array([[0, -1]]), "index -1 is outside"),
        (np.array([[0, None]]), "no .npy array of numbers"),
    ],
)
def test_rank_arrays_that_do_not_fit_are_refused(tmp_path, array, message):
    np.save(tmp_path / "ranks.npy", array)
    with pytest.raises(DelfError, match=message):
        read_rankings(tmp_path / "ranks.npy", TRUTH)


def test_rank_arrays_need_a_listed_database(tmp_path):
    np.save(tmp_path / "ranks.npy", np.zeros((1, 1), int))
    with pytest.raises(DelfError, match="lists its database"):
        read_rankings(tmp_path / "ranks.npy")


# Reports


def test_the_table_says_protocol_cropping_and_k_in_every_row():
    lines = table(evaluate_rankings(TRUTH, LISTS, REVISITED, cropped=True)).splitlines()
    assert lines[1].split() == (
        "protocol queries are counted mAP mP@1 mP@5 mP@10 mR@1 mR@5 mR@10".split()
    )
    # easy of q alone: rank 2 of 1; medium: (1/3 of q + 1 of r) / 2.
    assert lines[2].split()[:6] == ["revisited", "easy", "cropped", "1", "of", "2"]
    assert lines[2].split()[6] == "16.67"
    assert lines[3].split()[6] == "66.67"
    assert all("cropped" in line for line in lines[2:5])


def test_the_table_says_where_queries_were_not_cropped_as_the_rules_ask():
    for said, words in ((False, "whole (rule: cropped)"), (None, "not stated")):
        evaluation = evaluate_rankings(TRUTH, LISTS, REVISITED, cropped=said)
        assert table(evaluation).count(words) == 3


def test_every_query_has_a_row_on_request_and_undefined_means_are_explained():
    evaluation = evaluate_rankings(TRUTH, LISTS, REVISITED, cropped=True)
    rows = [row.split() for row in table(evaluation, per_query=True).splitlines()]
    found = [row for row in rows if row[:4] == ["revisited", "easy", "cropped", "r"]]
    assert found[0][4:8] == ["0", "of", "0", "nan"]
    empty = {"good": (), "ok": (), "junk": ("a",)}
    alone = GroundTruth("classic", (), (Query("q", "q", None, empty),), "here")
    text = table(evaluate_rankings(alone, {"q": ["a"]}, CLASSIC))
    assert "all: no query has positives" in text


def test_json_has_fractions_and_null_and_no_nan():
    evaluation = evaluate_rankings(TRUTH, LISTS, REVISITED, cropped=False)
    content = json.loads(
        json.dumps(to_json(evaluation, per_query=True), allow_nan=False)
    )
    assert content["protocol"] == "revisited"
    assert content["query_cropped"] is False
    assert content["k"] == [1, 5, 10]
    easy = content["setups"]["easy"]
    assert easy["mAP"] == pytest.approx(1 / 6)
    assert easy["queries_with_positives"] == 1
    assert easy["per_query"]["r"]["AP"] is None


def test_metrics_text_has_the_originals_form(tmp_path):
    evaluation = evaluate_rankings(TRUTH, LISTS, REVISITED)
    text = metrics_text(evaluation)
    assert text.splitlines()[:4] == [
        "easy",
        "  mAP=16.67",
        "  mP@k[ 1  5 10] [ 0.   33.33 33.33]",
        "  mR@k[ 1  5 10] [  0. 100. 100.]",
    ]
    assert text.splitlines()[::4] == ["easy", "hard", "medium"]
    (tmp_path / "mAP.txt").write_text(text)
    read = read_metrics_text(tmp_path / "mAP.txt")
    assert list(read) == ["easy", "hard", "medium"]
    assert read["easy"].ks == (1, 5, 10)
    assert read["easy"].mean_precisions == (0, 33.33, 33.33)
    assert read["medium"].mean_average_precision == 66.67


def test_metrics_text_of_nine_k_keeps_to_four_lines_and_nan_is_read(tmp_path):
    lists = {"good": tuple("abcdefg"), "ok": (), "junk": ()}
    truth = GroundTruth("classic", (), (Query("q", "q", None, lists),), "here")
    ranking = [f"x{i}" for i in range(33)] + ["q", *"abcdefg"]
    text = metrics_text(evaluate_rankings(truth, {"q": ranking}, MINDSPORE_ZOO))
    assert len(text.splitlines()) == 12
    (tmp_path / "mAP.txt").write_text(text)
    read = read_metrics_text(tmp_path / "mAP.txt")
    assert read["easy"].ks == tuple(range(10, 100, 10))
    assert math.isnan(read["hard"].mean_average_precision)


GOOD = "easy\n  mAP=1.0\n  mP@k[1 5] [2. 3.]\n  mR@k[1 5] [4. 5.]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "hard\n", "5 lines, expected a multiple of 4"),
        (GOOD + GOOD, "'easy' is there twice"),
        (GOOD.replace("  mAP", "mAP"), "does not begin with"),
        (GOOD.replace("mR@k[1 5]", "mR@k[1 6]"), "lists of k"),
        (GOOD.replace("[2. 3.]", "[2.]"), "lists of k"),
        (GOOD.replace("[2. 3.]", "2. 3."), "not two arrays"),
        (GOOD.replace("1.0", "x"), "could not convert"),
    ],
)
def test_malformed_metrics_text_is_refused(tmp_path, text, message):
    (tmp_path / "mAP.txt").write_text(text)
    with pytest.raises(DelfError, match="Malformed input .*" + message):
        read_metrics_text(tmp_path / "mAP.txt")


def test_metrics_text_is_read_as_written_by_hand(tmp_path):
    (tmp_path / "mAP.txt").write_text(GOOD)
    metrics = read_metrics_text(tmp_path / "mAP.txt")["easy"]
    assert metrics.mean_average_precision == 1
    assert metrics.mean_recalls == (4, 5)
