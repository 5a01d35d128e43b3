# SPDX-License-Identifier: Apache-2.0
"""Box lists: areas, overlaps and greedy suppression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delf_common.extraction.boxes import BoxList


def boxes(rows, scores=None):
    coordinates = np.array(rows, np.float32).reshape(-1, 4)
    if scores is None:
        scores = np.zeros(len(coordinates))
    return BoxList(coordinates, np.array(scores, np.float32))


def slow_iou(a, b):
    height = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    width = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    union -= height * width
    return height * width / union if union > 0 else 0.0


def slow_suppression(rows, scores, threshold, limit):
    kept = []
    for i in sorted(range(len(rows)), key=lambda i: (-scores[i], i)):
        if len(kept) < limit and all(
            slow_iou(rows[i], rows[j]) <= threshold for j in kept
        ):
            kept.append(i)
    return kept


# Small integers keep areas exact, so both sides round alike.
corner = st.tuples(*[st.integers(0, 6)] * 4).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
scored = st.lists(st.tuples(corner, st.integers(0, 4)), max_size=12)


def test_area_intersection_and_iou_of_two_boxes_worked_by_hand():
    first = boxes([[0, 0, 4, 5], [10, 10, 10, 10]])
    second = boxes([[2, 3, 6, 7]])
    np.testing.assert_array_equal(first.area(), [20, 0])
    np.testing.assert_array_equal(first.intersection(second), [[4], [0]])
    np.testing.assert_allclose(first.iou(second), [[4 / 32], [0]])


def test_iou_of_two_boxes_without_area_is_zero():
    assert boxes([[1, 1, 1, 1]]).iou(boxes([[1, 1, 1, 1]]))[0, 0] == 0


def test_clip_cuts_at_the_border_and_keeps_scores():
    clipped = boxes([[-3, -4, 50, 60]], [2.0]).clip(20, 30)
    np.testing.assert_array_equal(clipped.coordinates, [[0, 0, 20, 30]])
    assert clipped.scores[0] == 2


def test_sort_is_stable_and_filter_keeps_equal_to_the_threshold():
    some = boxes([[i, 0, i + 1, 1] for i in range(4)], [1, 2, 1, 2])
    np.testing.assert_array_equal(some.order(), [1, 3, 0, 2])
    np.testing.assert_array_equal(some.filter(2).coordinates[:, 0], [1, 3])
    np.testing.assert_array_equal(some.sort().scores, [2, 2, 1, 1])


def test_gather_takes_rows_in_the_order_given():
    some = boxes([[0, 0, 1, 1], [0, 0, 2, 2]], [1, 2])
    np.testing.assert_array_equal(some.gather(np.array([1, 0])).scores, [2, 1])


def test_no_boxes_at_all_is_a_value():
    none = boxes([])
    assert none.suppress(0.5).shape == (0,)
    assert none.suppress(1.0).shape == (0,)
    assert none.iou(boxes([[0, 0, 1, 1]])).shape == (0, 1)
    assert len(none.sort()) == 0 and none.centres().shape == (0, 2)


def test_a_maximum_below_its_minimum_is_refused():
    with pytest.raises(ValueError, match="ymax < ymin"):
        boxes([[3, 0, 1, 1]])
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        BoxList(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))


def test_a_threshold_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"1\.5"):
        boxes([[0, 0, 1, 1]]).suppress(1.5)


def test_threshold_one_keeps_identical_boxes():
    twins = boxes([[0, 0, 2, 2], [0, 0, 2, 2]], [1, 3])
    np.testing.assert_array_equal(twins.suppress(1.0), [1, 0])
    np.testing.assert_array_equal(twins.suppress(0.99), [1])


@given(scored, st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 12))
@settings(max_examples=200, deadline=None)
def test_suppression_equals_the_obvious_double_loop(items, threshold, limit):
    rows = [row for row, _ in items]
    scores = [score for _, score in items]
    found = boxes(rows, scores).suppress(threshold, limit)
    assert found.tolist() == slow_suppression(rows, scores, threshold, limit)


@given(scored, scored)
@settings(max_examples=100, deadline=None)
def test_iou_equals_the_obvious_formula(first, second):
    a, b = [row for row, _ in first], [row for row, _ in second]
    expected = np.array([[slow_iou(x, y) for y in b] for x in a])
    np.testing.assert_allclose(
        boxes(a).iou(boxes(b)), expected.reshape(len(a), len(b)), atol=1e-6
    )
