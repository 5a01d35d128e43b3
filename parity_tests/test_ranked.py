# SPDX-License-Identifier: Apache-2.0
"""Lists sorted by score agree where scores decide, and only there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.parity.features import compare_features, cut_of
from delf_common.parity.ranked import compare_ranked, group_scores

SCORES = np.array([9.0, 7.0, 7.0, 7.0, 4.0, 2.0, 2.0])


def compare(other, other_scores=SCORES, wanted="abcdefg", gap=0.1, cut=-np.inf):
    return compare_ranked(
        wanted, SCORES[: len(wanted)], other, np.array(other_scores), gap, cut
    )


@pytest.mark.parametrize(
    ("other", "good"),
    [
        ("abcdefg", True),
        ("acdbefg", True),  # inside a group
        ("abcdegf", True),
        ("bacdefg", False),  # out of a group
        ("abcedfg", False),
        ("abcdefx", False),  # another member, nothing was cut
        ("abcdef", False),  # one too few
        ("abbdefg", False),  # one twice
    ],
)
def test_members_change_places_only_within_their_group(other, good):
    assert bool(compare(other, SCORES[: len(other)]).faults) != good


def test_a_list_that_is_too_long_is_a_fault():
    assert compare("abcdefgh", [*SCORES, 1.0]).faults == (
        "h is above the cut, and should not be",
    )


@pytest.mark.parametrize(("moved", "good"), [(0.05, True), (0.15, False)])
def test_scores_may_be_apart_by_the_gap_and_no_more(moved, good):
    assert bool(compare("abcdefg", SCORES + moved).faults) != good


def test_the_group_at_the_cut_may_be_of_other_members_and_length():
    for other in ("abcdefx", "abcdexy", "abcdef", "abcde", "abcdexyz"):
        scores = [*SCORES, 2.0][: len(other)]
        found = compare(other, scores, cut=2.0)
        assert (found.faults, found.firm, found.tied, found.free) == ((), 5, 3, 2)
    assert compare("abcdxfg", cut=2.0).faults  # above the cut nothing may
    assert compare("abcdefgh", [*SCORES[:5], 3, 2, 2], cut=2.0).faults


def test_in_a_group_that_reaches_the_cut_members_well_above_it_must_be_there():
    scores, cut = np.array([5.0, 4.9, 4.75, 4.6, 4.5]), 4.5
    assert not compare_ranked("abcde", scores, "bacdx", scores, 0.1, cut).faults
    assert compare_ranked("abcde", scores, "axcde", scores, 0.1, cut).faults == (
        "b is above the cut, and missing",
        "x is above the cut, and should not be",
    )


def test_nan_fails_before_anything_is_compared():
    for broken in (np.nan, np.inf):
        with pytest.raises(DelfError, match="NaN"):
            compare("abcdefg", [broken, *SCORES[1:]])
        with pytest.raises(DelfError, match="NaN"):
            compare_ranked("a", np.array([broken]), "a", np.array([1.0]), 0.1)


def test_nothing_agrees_with_nothing():
    nothing = np.zeros(0)
    assert compare_ranked([], nothing, [], nothing, 0.1).faults == ()
    assert compare_ranked([], nothing, "a", np.ones(1), 0.1).faults
    assert compare_ranked("a", np.ones(1), [], nothing, 0.1).faults


def test_a_step_belongs_to_a_group_up_to_the_distance():
    assert group_scores(np.array([3.0, 2.5, 2.0, 1.0]), 0.5) == [(0, 3), (3, 4)]
    assert group_scores(np.zeros(0), 0.5) == []


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 30))
def test_noise_below_the_gap_is_never_a_fault_and_a_wrong_member_always_is(
    seed, count, kept
):
    rng, gap = np.random.default_rng(seed), 0.01
    scores = rng.choice([1.0, 2.0, 3.0], count) + rng.uniform(0, 0.05, count)
    noisy = scores + rng.uniform(-gap, gap, count)
    order, other = (np.argsort(-s, kind="stable")[:kept] for s in (scores, noisy))
    cut = scores[order[-1]] if kept <= count else -np.inf
    lists = order.tolist(), scores[order], other.tolist(), noisy[other]
    found = compare_ranked(*lists, gap, cut)
    assert found.faults == ()
    if found.firm:
        place = int(rng.integers(found.firm))
        lists[2][place] = -1
        assert compare_ranked(*lists, gap, cut).faults


def features(scores, seed=0):
    rng, count = np.random.default_rng(seed), len(scores)
    rows = rng.normal(0, 1, (count, 3)).astype(np.float32)
    return Features(
        np.arange(2 * count, dtype=np.float32).reshape(count, 2),
        rows / np.linalg.norm(rows, axis=1, keepdims=True),
        np.array(scores, np.float32),
        np.ones(count, np.float32),
        (9, 9),
    )


def test_descriptors_are_compared_at_the_same_keypoint_wherever_its_row_is():
    one = features([5, 3, 3, 1])
    other = one.take(np.array([0, 2, 1, 3]))
    found = compare_features(one, other, 1e-5, limit=9, threshold=None)
    assert (found.keypoints.faults, found.common) == ((), 4)
    assert found.scores == found.descriptors == 0
    other.descriptors[1, 0] += np.float32(0.25)
    found = compare_features(one, other, 1e-5, limit=9, threshold=None)
    assert found.descriptors == 0.25
    other.descriptors[0, 0] = np.nan
    with pytest.raises(DelfError, match="descriptors hold NaN"):
        compare_features(one, other, 1e-5, limit=9, threshold=None)


def test_a_list_ends_at_the_threshold_or_at_its_last_score():
    one = features([5, 3, 2])
    assert cut_of(one, 9, None) == -np.inf
    assert cut_of(one, 9, 1.5) == 1.5
    assert cut_of(one, 3, 1.5) == 2
