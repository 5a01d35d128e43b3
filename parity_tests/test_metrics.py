# SPDX-License-Identifier: Apache-2.0
"""AP and ranks agree with a slow second way, and with numbers worked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delf_common.errors import DelfError, UsageError
from delf_common.retrieval.evaluation import evaluate_rankings
from delf_common.retrieval.metrics import (
    average_precision,
    junk_adjusted_ranks,
    precision_at,
    recall_at,
)
from delf_common.retrieval.protocols import (
    CLASSIC,
    MINDSPORE_ZOO,
    MINIBENCH,
    REVISITED,
)
from delf_common.retrieval.queries import GroundTruth, Query

# A ranking as a word: + positive, - wrong, j junk.
WORDS = st.text("+-j", max_size=30)
KS = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def walk(word, missing=0):
    """AP by walking down the ranking, as the benchmarks' definition reads."""
    total = word.count("+") + missing
    if not total:
        return math.nan
    seen = hits = 0
    area, precision = 0.0, 1.0
    for letter in word:
        if letter == "j":
            continue
        seen += 1
        hits += letter == "+"
        if letter == "+":
            area += (precision + hits / seen) / 2 / total
        precision = hits / seen
    return area


def walk_places(word, k, missing=0):
    """Precision and recall at k by cutting the ranking."""
    total = word.count("+") + missing
    if not total:
        return math.nan, math.nan
    kept = word.replace("j", "")
    places = k if missing else min(k, kept.rindex("+") + 1)
    hits = kept[:places].count("+")
    return hits / places, hits / total


def ranks_of(word):
    ranks = {letter: [i for i, x in enumerate(word) if x == letter] for letter in "+j"}
    return junk_adjusted_ranks(ranks["+"], ranks["j"])


def score(word, missing=0):
    return average_precision(ranks_of(word), word.count("+") + missing)


@given(WORDS, st.integers(0, 3))
def test_average_precision_equals_a_walk_down_the_ranking(word, missing):
    expected = walk(word, missing)
    assert score(word, missing) == pytest.approx(expected, nan_ok=True, abs=1e-12)


@given(WORDS, KS, st.integers(0, 3))
def test_precision_and_recall_equal_cutting_the_ranking(word, ks, missing):
    total = word.count("+") + missing
    expected = np.array([walk_places(word, k, missing) for k in ks])
    precision = precision_at(ranks_of(word), ks, total)
    recall = recall_at(ranks_of(word), ks, total)
    np.testing.assert_allclose(precision, expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(recall, expected[:, 1], atol=1e-12)


@given(st.text("+-", max_size=20), st.lists(st.integers(0, 30), max_size=6))
def test_junk_anywhere_never_changes_average_precision(word, places):
    spoilt = word
    for place in places:
        place = min(place, len(spoilt))
        spoilt = spoilt[:place] + "j" + spoilt[place:]
    np.testing.assert_array_equal(ranks_of(spoilt), ranks_of(word))
    assert score(spoilt) == pytest.approx(score(word), nan_ok=True)


@given(WORDS.filter(lambda word: "+" in word), st.data(), st.integers(0, 2))
def test_moving_a_positive_up_never_lowers_average_precision(word, data, missing):
    old = data.draw(st.sampled_from([i for i, x in enumerate(word) if x == "+"]))
    new = data.draw(st.integers(0, old))
    better = word[:new] + "+" + word[new:old] + word[old + 1 :]
    assert score(better, missing) >= score(word, missing) - 1e-12


@given(st.integers(1, 20), st.text("-j", max_size=20))
def test_positives_in_front_are_perfect(count, rest):
    word = "+" * count + rest
    assert score(word) == pytest.approx(1)
    assert precision_at(ranks_of(word), [1, 50], count).tolist() == [1, 1]


@given(WORDS, st.integers(0, 30), KS)
def test_cutting_a_ranking_short_raises_no_figure(word, length, ks):
    total, short = word.count("+"), word[:length]
    if not total:
        return
    for figure in (precision_at, recall_at):
        whole = figure(ranks_of(word), ks, total)
        assert np.all(figure(ranks_of(short), ks, total) <= whole + 1e-12)
    assert average_precision(ranks_of(short), total) <= score(word) + 1e-12


@given(
    st.lists(st.integers(0, 50), unique=True),
    st.lists(st.integers(51, 99), unique=True),
)
def test_arguments_are_not_changed(positives, junk):
    mine, other = np.array(positives, np.int64), np.array(junk, np.int64)
    for array in (mine, other):
        array.flags.writeable = False
    kept = mine.copy(), other.copy()
    adjusted = junk_adjusted_ranks(mine, other)
    average_precision(adjusted, 99)
    assert not np.shares_memory(adjusted, mine)
    np.testing.assert_array_equal(mine, kept[0])
    np.testing.assert_array_equal(other, kept[1])


def test_junk_above_a_positive_lowers_its_rank():
    assert junk_adjusted_ranks([1, 4, 6], [0, 2, 3, 9]).tolist() == [0, 1, 3]


def test_average_precision_worked_by_hand():
    # Ranks 1 and 3 of 2: (0/1 + 1/2)/4 + (1/3 + 2/4)/4.
    assert average_precision([1, 3], 2) == pytest.approx(1 / 8 + 5 / 24)
    assert average_precision([0], 4) == pytest.approx(0.25)


def test_no_positives_are_not_a_number_and_none_found_are_zero():
    assert math.isnan(average_precision([], 0))
    assert np.isnan(precision_at([], [1, 5], 0)).all()
    assert np.isnan(recall_at([], [1, 5], 0)).all()
    assert average_precision([], 3) == 0
    assert precision_at([], [1, 5], 3).tolist() == [0, 0]


def test_k_is_clipped_by_the_last_positive_unless_one_is_missing():
    assert precision_at([0, 7], [10], 2).tolist() == [0.25]
    assert precision_at([0, 7], [10], 3).tolist() == [0.2]
    assert recall_at([0, 7], [5, 10], 2).tolist() == [0.5, 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: average_precision([0, 0], 2),
        lambda: average_precision([-1], 2),
        lambda: average_precision([0.5], 2),
        lambda: average_precision([0, 1], 1),
        lambda: precision_at([0], [0], 1),
        lambda: junk_adjusted_ranks([1], [2, 2]),
    ],
)
def test_ranks_that_cannot_be_are_refused(call):
    with pytest.raises(ValueError):
        call()


# Whole evaluations, each protocol worked by hand


def truth(kind, names=(), queries=None, image="q", **lists):
    members = {label: tuple(text.split()) for label, text in lists.items()}
    queries = queries or (Query("q_1", image, None, members),)
    return GroundTruth(kind, tuple(names), queries, "here")


def figures(evaluation):
    return {setup.name: setup.mean_average_precision for setup in evaluation.setups}


def test_classic_counts_the_query_and_ignores_junk():
    ground = truth("classic", good="q a", ok="b", junk="j")
    result = evaluate_rankings(ground, {"q_1": ["q", "j", "x", "a", "b"]}, CLASSIC)
    # Without j: q x a b, ranks 0 2 3 of 3: (2 + (1/2 + 2/3) + (2/3 + 3/4)) / 6.
    (setup,) = result.setups
    assert setup.mean_average_precision == pytest.approx(55 / 72)
    assert setup.mean_precisions == pytest.approx((1, 3 / 4, 3 / 4))
    assert setup.mean_recalls == pytest.approx((1 / 3, 1, 1))
    assert setup.queries[0].num_found == 3


def test_revisited_setups_swap_hard_and_easy_for_junk():
    ground = truth("revisited", "e h j x y".split(), easy="e", hard="h", junk="j")
    result = evaluate_rankings(ground, {"q": ["j", "x", "h", "y", "e"]}, REVISITED)
    # easy: x y e -> rank 2; medium: x h y e -> ranks 1 3; hard: x h y -> rank 1.
    assert figures(result) == pytest.approx(
        {"easy": 1 / 6, "medium": 1 / 8 + 5 / 24, "hard": 1 / 4}
    )


def test_revisited_positives_that_are_not_ranked_are_missed():
    ground = truth("revisited", "e f x".split(), easy="e f", hard="", junk="")
    result = evaluate_rankings(ground, {"q": ["e"]}, REVISITED)
    easy, medium, hard = result.setups
    assert easy.mean_average_precision == medium.mean_average_precision == 0.5
    assert easy.mean_precisions == (1, 1 / 5, 1 / 10)
    assert math.isnan(hard.mean_average_precision)
    assert hard.num_counted == 0


def test_the_zoo_counts_the_query_and_skips_what_is_not_ranked():
    ground = truth("classic", good="q a gone", ok="b", junk="j")
    result = evaluate_rankings(ground, {"q_1": "q x j a b".split()}, MINDSPORE_ZOO)
    # easy: q x a -> ranks 0 2 of 2; medium: q x a b -> 0 2 3 of 3; hard: x b -> 1 of 1.
    assert figures(result) == pytest.approx(
        {"easy": (2 + 1 / 2 + 2 / 3) / 4, "medium": 55 / 72, "hard": 1 / 4}
    )
    assert len(result.setups[0].mean_precisions) == 9
    assert result.setups[0].mean_precisions[0] == pytest.approx(2 / 3)


def test_the_zoos_easy_counts_ok_images_where_only_the_query_is_good():
    ground = truth("classic", good="gone", ok="b", junk="j")
    result = evaluate_rankings(ground, {"q_1": "q x j b".split()}, MINDSPORE_ZOO)
    assert figures(result)["easy"] == figures(result)["hard"] == pytest.approx(1 / 4)
    # medium, where the query still counts: q x b -> ranks 0 2 of 2.
    assert figures(result)["medium"] == pytest.approx((2 + 1 / 2 + 2 / 3) / 4)
    # With the query named in good too its list has two entries, and no exception.
    ground = truth("classic", good="q", ok="b", junk="j")
    result = evaluate_rankings(ground, {"q_1": "q x j b".split()}, MINDSPORE_ZOO)
    assert figures(result)["easy"] == 1


def test_minibench_leaves_the_query_out():
    ground = truth(
        "minibench", "q a b x j".split(), positives="a b", junk="j", image="q"
    )
    result = evaluate_rankings(ground, {"q": "q j x a b".split()}, MINIBENCH)
    # x a b -> ranks 1 2 of 2: ((0 + 1/2) + (1/2 + 2/3)) / 4.
    assert figures(result) == pytest.approx({"all": 5 / 12})


@st.composite
def labelled_rankings(draw):
    labels = draw(st.lists(st.sampled_from(["easy", "hard", "junk", ""]), max_size=20))
    names = [f"im{i}" for i in range(len(labels))]
    lists = {
        label: tuple(n for n, x in zip(names, labels, strict=True) if x == label)
        for label in ("easy", "hard", "junk")
    }
    order = draw(st.permutations(range(len(labels))))
    cut = draw(st.integers(0, len(labels)))
    return labels, names, lists, list(order)[:cut]


@given(labelled_rankings())
def test_revisited_equals_the_walk_in_every_setup(case):
    labels, names, lists, order = case
    ground = truth("revisited", names, (Query("q", "q", None, lists),))
    result = evaluate_rankings(ground, {"q": [names[i] for i in order]}, REVISITED)
    letters = {
        "easy": {"easy": "+", "hard": "j", "junk": "j", "": "-"},
        "medium": {"easy": "+", "hard": "+", "junk": "j", "": "-"},
        "hard": {"easy": "j", "hard": "+", "junk": "j", "": "-"},
    }
    for setup in result.setups:
        word = "".join(letters[setup.name][labels[i]] for i in order)
        everything = "".join(letters[setup.name][label] for label in labels)
        missing = everything.count("+") - word.count("+")
        got = setup.queries[0]
        assert got.num_found == word.count("+")
        expected = pytest.approx(walk(word, missing), nan_ok=True)
        assert got.average_precision == expected
        places = [walk_places(word, k, missing)[0] for k in (1, 5, 10)]
        assert got.precisions == pytest.approx(places, nan_ok=True)


@given(labelled_rankings(), st.randoms())
def test_tied_images_of_one_label_may_change_places(case, random):
    # A ranking has no ties, whoever wrote it broke them; between images that count
    # alike the choice must not matter.
    labels, names, lists, order = case
    ground = truth("revisited", names, (Query("q", "q", None, lists),))
    others = {label: [i for i in order if labels[i] == label] for label in labels}
    for members in others.values():
        random.shuffle(members)
    swapped = [others[labels[i]].pop() for i in order]
    first, second = (
        evaluate_rankings(ground, {"q": [names[i] for i in some]}, REVISITED)
        for some in (order, swapped)
    )
    assert repr(first) == repr(second)  # NaN equals itself here


def test_queries_without_positives_are_left_out_of_the_means():
    queries = (
        Query("p", "p", None, {"easy": ("a",), "hard": (), "junk": ()}),
        Query("q", "q", None, {"easy": (), "hard": (), "junk": ("a",)}),
    )
    ground = truth("revisited", ["a", "b"], queries)
    easy = evaluate_rankings(ground, {"p": ["a"], "q": ["a"]}, REVISITED).setups[0]
    assert (easy.mean_average_precision, easy.num_counted) == (1, 1)
    assert math.isnan(easy.queries[1].average_precision)


def test_no_queries_and_empty_rankings_have_defined_answers():
    empty = GroundTruth("minibench", (), (), "here")
    (setup,) = evaluate_rankings(empty, {}, MINIBENCH).setups
    assert math.isnan(setup.mean_average_precision)
    assert len(setup.mean_precisions) == 3
    ground = truth("classic", good="a", ok="", junk="")
    assert figures(evaluate_rankings(ground, {"q_1": []}, CLASSIC)) == {"all": 0}
    zoo = figures(evaluate_rankings(ground, {"q_1": []}, MINDSPORE_ZOO))
    assert all(map(math.isnan, zoo.values()))


def test_images_in_two_classic_lists_are_ignored_but_missing():
    ground = truth("classic", good="a b", ok="", junk="b")
    result = evaluate_rankings(ground, {"q_1": ["b", "a"]}, CLASSIC)
    assert figures(result) == {"all": 0.5}


def test_folders_and_suffixes_that_the_ground_truth_leaves_off_do_not_matter():
    ground = truth("classic", good="q a", ok="", junk="j", image="q")
    ranking = ["jpg/q.jpg", "jpg/j.jpg", "other/a.JPG", "x.jpg", "y/x.jpg"]
    result = evaluate_rankings(ground, {"queries/q.jpg": ranking}, CLASSIC)
    assert figures(result) == {"all": 1}
    own = truth("minibench", ["p/a.jpg"], positives="p/a.jpg", junk="", image="q.jpg")
    with pytest.raises(DelfError, match="not among"):
        evaluate_rankings(own, {"q_1": ["other/a.jpg"]}, MINIBENCH)


BASE = truth("revisited", "a b c".split(), easy="a", hard="b", junk="")


@pytest.mark.parametrize(
    ("rankings", "message"),
    [
        ({"q_1": ["a", "b", "a"]}, "twice: 'a' at rank 0 and 'a' at rank 2"),
        ({"q_1": ["a", "x/a.png"]}, "twice: 'a' at rank 0 and 'x/a.png' at rank 1"),
        ({"q_1": ["a", "z"]}, "'z', which is not among the 3 database images"),
        ({"q_1": ["a", "q"]}, "has the query itself"),
        ({"other": ["a"]}, "1 of 1 queries have no ranking: q_1"),
        ({"q_1": ["a"], "q.jpg": ["a"]}, "rankings of one query"),
    ],
)
def test_rankings_that_do_not_fit_are_refused(rankings, message):
    with pytest.raises(DelfError, match=message):
        evaluate_rankings(BASE, rankings, REVISITED)


def test_distractors_are_wrong_answers_where_they_are_allowed():
    ranking = {"q_1": ["z1", "a", "z2"]}
    result = evaluate_rankings(BASE, ranking, REVISITED, distractors=True)
    assert figures(result)["easy"] == pytest.approx(1 / 4)
    with pytest.raises(DelfError, match="the query itself"):
        evaluate_rankings(BASE, {"q_1": ["a", "q"]}, REVISITED, distractors=True)


def test_rankings_in_another_spelling_are_refused_not_scored_zero():
    ground = truth("classic", good="a", ok="", junk="")
    with pytest.raises(DelfError, match="names like 'A1', the ground truth like 'q'"):
        evaluate_rankings(ground, {"q_1": ["A1", "A2"]}, CLASSIC)


def test_a_protocol_refuses_ground_truth_without_its_lists():
    with pytest.raises(UsageError, match="needs classic ground truth"):
        evaluate_rankings(BASE, {"q_1": ["a"]}, CLASSIC)


def test_one_picture_may_ask_for_two_regions():
    first = Query("r_1", "q", (0, 0, 1, 1), {"good": ("a",), "ok": (), "junk": ()})
    ground = truth("classic", (), (first, replace(first, name="r_2")))
    result = evaluate_rankings(ground, {"r_1": ["a"], "r_2": ["x", "a"]}, CLASSIC)
    assert figures(result) == pytest.approx({"all": (1 + 1 / 4) / 2})
