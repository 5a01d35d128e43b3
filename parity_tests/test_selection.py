# SPDX-License-Identifier: Apache-2.0
"""From attention maps to keypoints: pyramid, conventions, ties, thresholds."""

import numpy as np
import pytest
from fake_network import FakeNetwork
from hypothesis import given, settings
from hypothesis import strategies as st

from delf_common.config import DELF_SCALES, ExtractConfig
from delf_common.errors import DelfError, UsageError
from delf_common.extraction.extractor import Extractor, extract
from delf_common.extraction.pyramid import Level, pyramid_levels
from delf_common.extraction.receptive_field import Layer, ReceptiveField
from delf_common.extraction.selection import select_keypoints

DECLARED = ReceptiveField(291, 32, 145)
BLOCKS = FakeNetwork.receptive_field


def select(maps, scales, size, config=None, threshold=None, field=BLOCKS, border=0):
    levels = [Level(s, round(size[0] * s), round(size[1] * s)) for s in scales]
    arrays = [np.asarray(m, np.float32) for m in maps]
    config = config or ExtractConfig()
    return select_keypoints(arrays, levels, size, field, threshold, border, config)


def test_convention_level_sides_round_half_to_even():
    levels = pyramid_levels(50, 70, (0.25, 0.75), BLOCKS)
    # 12.5 -> 12, 17.5 -> 18, 37.5 -> 38, 52.5 -> 52
    assert [level.size for level in levels] == [(12, 18), (38, 52)]


def test_the_seven_scales_of_a_photograph():
    sizes = [level.size for level in pyramid_levels(768, 1024, DELF_SCALES, BLOCKS)]
    assert (
        sizes[0] == (192, 256) and sizes[4] == (768, 1024) and sizes[6] == (1536, 2048)
    )
    assert len(sizes) == 7


def test_levels_without_a_cell_and_tiny_images_are_left_out():
    scales = [level.scale for level in pyramid_levels(20, 20, (0.25, 1, 2), BLOCKS)]
    assert scales == [1, 2]
    assert pyramid_levels(9, 500, (1.0,), BLOCKS) == []


def test_convention_tf_centres_are_stride_times_cell_over_scale():
    config = ExtractConfig(keypoint_centres="tf")
    found = select([[[1, 2], [3, 4]]], (0.5,), (128, 128), config, field=DECLARED)
    np.testing.assert_array_equal(found.keypoints, [[64, 64], [0, 64], [64, 0], [0, 0]])
    np.testing.assert_array_equal(found.scales, [2, 2, 2, 2])


def test_convention_exact_centre_of_a_block_is_between_its_pixels():
    found = select([[[5, 1]]], (1.0,), (8, 16))
    np.testing.assert_array_equal(found.keypoints, [[3.5, 3.5], [11.5, 3.5]])
    half = select([[[5, 1]]], (0.5,), (16, 32))  # pixel centres scale about -0.5
    np.testing.assert_array_equal(half.keypoints, [[7.5, 7.5], [23.5, 7.5]])


@pytest.mark.parametrize("side", range(6, 40))
def test_centre_offset_is_the_middle_of_the_pixels_that_reach_cell_zero(side):
    layers = (Layer(7, 2, "same"), Layer(3, 2, "valid"), Layer(3, 1, 1))
    field = ReceptiveField(19, 4, 9, layers)
    first, last = 0, 0  # pixels of cell 0, walked back through the layers
    sides = [side]
    for layer in layers:
        sides.append(layer.output_side(sides[-1]))
    for layer, n in zip(reversed(layers), reversed(sides[:-1]), strict=True):
        first = first * layer.stride - layer.before(n)
        last = last * layer.stride - layer.before(n) + layer.kernel - 1
    assert field.centre_offset(side) == (first + last) / 2
    assert field.map_side(side) == sides[-1]


def test_keras_resnet_centres_are_two_or_three_pixels_off_the_declared_ones():
    conv1, pool = Layer(7, 2, "same"), Layer(3, 2, "valid")
    field = ReceptiveField(291, 32, 145, (conv1, pool))
    assert field.centre_offset(321) == 2 and field.centre_offset(512) == 3
    assert DECLARED.centre_offset(512) == 0


def test_convention_equal_scores_are_ordered_by_level_row_column():
    found = select([np.ones((2, 2)), np.ones((2, 3))], (1.0, 0.5), (64, 64))
    assert found.level.tolist() == [0] * 4 + [1] * 6
    assert found.cell.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 45),
    st.sampled_from([None, 1.0, 2.0]),
)
@settings(max_examples=200, deadline=None)
def test_top_scores_equal_a_plain_sort(values, count, threshold):
    config = ExtractConfig(max_feature_num=count)
    found = select([[values]], (1.0,), (8, 400), config, threshold)
    allowed = [i for i, v in enumerate(values) if threshold is None or v >= threshold]
    expected = sorted(allowed, key=lambda i: (-values[i], i))[:count]
    assert found.cell.tolist() == expected


def test_a_score_equal_to_the_threshold_is_kept():
    assert len(select([[[1, 2, 3]]], (1.0,), (8, 24), threshold=2.0).cell) == 2


def test_overlapping_regions_are_suppressed_across_levels():
    config = ExtractConfig(iou_threshold=0.3)
    found = select([[[9, 1]], [[5]]], (1.0, 0.5), (8, 16), config)
    # The half-scale cell covers 14x14 around (7.5, 7.5); both small ones lie in it.
    assert found.level.tolist() == [0, 1, 0]
    tight = ExtractConfig(iou_threshold=0.1)
    assert select([[[9, 1]], [[5]]], (1.0, 0.5), (8, 16), tight).level.tolist() == [
        0,
        0,
    ]


def test_border_cells_are_no_keypoints_and_a_small_map_may_have_none():
    full = np.arange(20.0).reshape(4, 5)
    found = select([full], (1.0,), (32, 40), border=1)
    assert sorted(found.cell.tolist()) == [6, 7, 8, 11, 12, 13]
    np.testing.assert_array_equal(found.keypoints[0], [27.5, 19.5])  # row 2, column 3
    assert select([np.ones((2, 9))], (1.0,), (16, 72), border=1).cell.shape == (0,)
    assert select([np.ones((3, 1))], (1.0,), (24, 8), border=2).cell.shape == (0,)


def test_an_attention_map_with_nan_is_an_error():
    with pytest.raises(DelfError, match="NaN"):
        select([[[np.nan]]], (1.0,), (8, 8))


def test_no_level_gives_no_keypoints():
    found = select([], (), (8, 8))
    assert found.keypoints.shape == (0, 2) and found.cell.shape == (0,)


def test_a_tiny_picture_has_zero_features_of_the_right_width():
    features = Extractor(FakeNetwork()).extract_batch([np.zeros((5, 5, 3), np.uint8)])[
        0
    ]
    assert features.descriptors.shape == (0, 192) and features.image_size == (5, 5)


def test_extract_takes_arrays_and_gives_unit_descriptors_in_score_order(noise):
    features = extract([noise], FakeNetwork(), ExtractConfig(max_feature_num=50))[0]
    assert len(features) == 50 and features.image_size == (128, 96)
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, 1e-5)
    assert (np.diff(features.scores) <= 0).all()
    assert extract([], FakeNetwork()) == []


def test_keypoints_of_a_shrunk_image_are_in_pixels_of_the_original(noise):
    big = np.kron(noise, np.ones((4, 4, 1), np.uint8))
    config = ExtractConfig(image_scales=(1.0,), max_image_size=128)
    small = extract([noise], FakeNetwork(), ExtractConfig(image_scales=(1.0,)))[0]
    shrunk = extract([big], FakeNetwork(), config)[0]
    assert shrunk.image_size == (512, 384)
    order = np.lexsort(small.keypoints.T)
    back = np.lexsort(shrunk.keypoints.T)
    np.testing.assert_allclose(
        shrunk.keypoints[back], (small.keypoints[order] + 0.5) * 4 - 0.5, atol=1e-4
    )


def test_a_batch_gives_the_same_bits_as_single_images(noise):
    images = [noise, noise[::-1].copy(), noise[:, ::-1].copy()]
    together = Extractor(FakeNetwork()).extract_batch(images)
    for one, image in zip(together, images, strict=True):
        alone = Extractor(FakeNetwork()).extract_batch([image])[0]
        np.testing.assert_array_equal(one.keypoints, alone.keypoints)
        np.testing.assert_array_equal(one.descriptors, alone.descriptors)


@pytest.mark.parametrize(
    "settings_",
    [
        {"max_feature_num": 0},
        {"image_scales": ()},
        {"image_scales": (-1.0,)},
        {"iou_threshold": 1.5},
        {"pca_dim": 0},
        {"border_cells": -1},
    ],
)
def test_settings_outside_their_range_are_named(settings_):
    with pytest.raises(UsageError, match=next(iter(settings_))):
        Extractor(FakeNetwork(), ExtractConfig(**settings_))
