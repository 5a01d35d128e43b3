# SPDX-License-Identifier: Apache-2.0
"""Pictures show what was found, for any sizes and names."""

import numpy as np
import pytest

from delf_common.errors import UsageError
from delf_common.features import Features
from delf_common.io.images import read_image
from delf_common.matching import drawing
from delf_common.matching.drawing import draw_match, draw_results, save_picture, shorten
from delf_common.matching.matcher import ImageMatch
from delf_common.matching.nearest import Matches
from delf_common.matching.verification import Verification

GREY = np.full((100, 150, 3), 128, np.uint8)


def one_match(inlier):
    ones = np.ones(1, np.float32)
    at = np.array([[75, 50]], np.float32)
    row = np.ones((1, 4), np.float32) / 2
    features = Features(at, row, ones, ones * 2, (150, 100))
    matches = Matches(np.zeros((1, 2), np.intp), np.zeros(1, np.float32))
    return features, ImageMatch(matches, Verification(np.eye(3), np.array([inlier])))


def test_an_inlier_is_joined_by_a_line_and_a_wrong_match_is_not():
    features, found = one_match(True)
    drawn = draw_match(GREY, GREY, features, features, found)
    _, nothing = one_match(False)
    plain = draw_match(GREY, GREY, features, features, nothing)
    assert drawn.shape == plain.shape == (480 + drawing.STRIP, 720 * 2 + drawing.GAP, 3)
    changed = np.argwhere((drawn != plain).any(axis=2) & (np.arange(514) > 34)[:, None])
    middle = drawing.STRIP + 240 + 2
    assert abs(changed[:, 0] - middle).max() < 30  # a level line between equal places
    assert changed[:, 1].min() < 370 and changed[:, 1].max() > 720 + 8 + 350


def test_the_title_strip_has_ink():
    features, found = one_match(True)
    strip = draw_match(GREY, GREY, features, features, found)[: drawing.STRIP]
    assert strip.min() < 60 and np.median(strip) == 255


def test_pictures_of_different_sizes_and_no_features_are_drawn():
    none = Features.empty(4, (7, 900))
    matches = Matches(np.zeros((0, 2), np.intp), np.zeros(0, np.float32))
    found = ImageMatch(matches, Verification(None, np.zeros(0, bool)))
    tall = np.zeros((900, 7, 3), np.uint8)
    assert draw_match(tall, GREY, none, none, found).shape[0] == 480 + drawing.STRIP


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_a_results_sheet_has_a_row_for_every_five(count):
    results = [(GREY, f"{i}. Łódź/東京_{i}.jpg  9 inliers") for i in range(count)]
    sheet = draw_results(GREY, (10, 10, 60, 60), results)
    rows = max(-(-count // 5), 1)
    assert sheet.shape[0] == rows * (240 + drawing.CAPTION + 8) + 8
    assert (sheet == np.array(drawing.FRAME)).all(axis=2).any()
    grey = (sheet == 128).all(axis=2).sum()  # 150x100 pixels each, the query framed
    assert 15000 * (count + 0.9) < grey < 15000 * (count + 1)


def test_a_narrow_pair_is_as_wide_as_its_title():
    features, found = one_match(True)
    narrow = np.full((300, 60, 3), 128, np.uint8)
    drawn = draw_match(narrow, narrow, features, features, found)
    strip = drawn[: drawing.STRIP].min(axis=(0, 2))
    assert strip[: drawing.GAP - 2].min() == strip[-drawing.GAP + 2 :].min() == 255


def test_a_panorama_does_not_make_a_huge_picture():
    features, found = one_match(True)
    wide = np.zeros((100, 9000, 3), np.uint8)
    drawn = draw_match(wide, GREY, features, features, found)
    assert drawn.shape[1] == drawing.WIDEST + drawing.GAP + 720


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\x00b.jpg", "\udc80.jpg", "x" * 300])
def test_any_name_can_be_a_caption(name):
    sheet = draw_results(GREY, None, [(GREY, name)])
    assert sheet[240 + 8 :, 240 + 16 :].min() < 100  # there is ink below the tile


def test_a_long_caption_keeps_its_ends_and_fits():
    text = shorten("1. " + "long_" * 40 + "name.jpg  77 inliers", 240)
    assert text.startswith("1. ") and text.endswith("inliers")
    assert drawing.font(13).getlength(text) <= 240


def test_a_picture_is_written_as_a_whole_and_only_as_a_picture(tmp_path):
    save_picture(tmp_path / "new" / "a.png", GREY)
    read = read_image(tmp_path / "new" / "a.png", max_pixels=10**6)
    np.testing.assert_array_equal(read, GREY)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]
    with pytest.raises(UsageError, match=r"\.txt"):
        save_picture(tmp_path / "a.txt", GREY)
