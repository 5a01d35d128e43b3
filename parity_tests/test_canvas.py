# SPDX-License-Identifier: Apache-2.0
"""Levels on fixed canvases look where they look without one."""

import dataclasses

import numpy as np
import pytest
from fake_network import FakeNetwork
from small_networks import EVERY, KERAS, calm_params

from delf_common.config import ExtractConfig
from delf_common.errors import DelfError, UsageError
from delf_common.extraction.canvas import parse_canvases, place
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.receptive_field import ReceptiveField
from delf_common.weights.architectures import receptive_field
from delf_common.weights.checkpoint import Checkpoint

SIZES = [(96, 128), (97, 127), (64, 181), (131, 66), (50, 51)]
CANVASES = [(128, 160), (160, 128), (192, 192), (201, 207)]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("size", SIZES)
def test_cells_on_a_canvas_look_at_the_same_pixels(name, size):
    field = receptive_field(EVERY[name])
    placement = place(size, CANVASES, field)
    for axis in range(2):
        pixels, cells = placement.pixels[axis], placement.cells[axis]
        assert pixels.stop - pixels.start == size[axis]
        assert 0 <= pixels.start and pixels.stop <= placement.canvas[axis]
        assert cells.stop - cells.start == field.map_side(size[axis])
        assert cells.stop <= field.map_side(placement.canvas[axis])
        on_canvas = field.centre_offset(placement.canvas[axis])
        first = on_canvas + field.stride * cells.start - pixels.start
        assert first == field.centre_offset(size[axis])


def test_the_smallest_canvas_that_holds_a_level_is_taken():
    field = ReceptiveField(1, 1, 0)
    assert place((100, 90), CANVASES, field).canvas == (128, 160)
    assert place((150, 90), CANVASES, field).canvas == (160, 128)
    assert place((201, 207), CANVASES, field).pixels == (slice(0, 201), slice(0, 207))


def test_a_level_of_the_canvass_size_lies_at_its_corner():
    for info in EVERY.values():
        placement = place((201, 207), CANVASES, receptive_field(info))
        assert [part.start for part in placement.pixels + placement.cells] == [0] * 4


def test_a_level_too_large_names_the_canvases_and_the_way_out():
    field = receptive_field(dataclasses.replace(EVERY["lite0"]))
    for size in ((202, 64), (64, 208), (201, 208)):
        with pytest.raises(DelfError, match=r"128x160, .*201x207\..*--max_image_size"):
            place(size, CANVASES, field)


def test_canvases_are_height_x_width():
    assert parse_canvases(["768x1024", " 64x64"]) == ((768, 1024), (64, 64))
    for wrong in ("768", "0x5", "768x1024x3", "axb", "-1x5"):
        with pytest.raises(UsageError, match="such as 768x1024"):
            parse_canvases([wrong])


def test_a_network_of_fixed_sizes_refuses_canvases():
    with pytest.raises(UsageError, match="use --backend torch or ms"):
        Extractor(FakeNetwork(), ExtractConfig(canvases=("64x64",)))


def test_the_settings_name_the_canvases_only_where_there_are_any(small):
    assert "canvases" not in Extractor(small, ExtractConfig()).settings()
    laid = Extractor(small, ExtractConfig(canvases=("64x96",)))
    assert laid.settings()["canvases"] == ("64x96",)
    assert small.canvases == ()  # the network itself is as before


@pytest.fixture
def small(narrow):
    torch = pytest.importorskip("torch")
    from delf_torch.network import TorchNetwork

    return TorchNetwork(Checkpoint(calm_params(KERAS), KERAS), torch.device("cpu"))


def test_inner_cells_are_the_same_on_a_canvas_and_the_map_has_its_size(small):
    image = np.random.default_rng(0).integers(0, 256, (1, 401, 430, 3), np.uint8)
    sizes = [(401, 430), (200, 215)]
    plain = small.dense(image, sizes)
    laid = small.on_canvases([(224, 256), (448, 448)]).dense(image, sizes)
    for one, other in zip(plain, laid, strict=True):
        assert one.attention.shape == other.attention.shape
        assert not np.array_equal(one.attention, other.attention)  # the border sees it
    inside = np.s_[:, 10:15, 10:16]  # 145 pixels or more from every side
    attention = laid[0].attention[inside], plain[0].attention[inside]
    np.testing.assert_allclose(*attention, rtol=1e-6)
    cells = np.arange(10, 15) * plain[0].attention.shape[2] + 12
    rows = laid[0].gather(0, cells), plain[0].gather(0, cells)
    np.testing.assert_allclose(*rows, rtol=1e-5, atol=1e-5 * rows[1].max())


def test_keypoints_stay_where_they_are(small, noise):
    config = ExtractConfig(image_scales=(0.7, 1.0), max_feature_num=10_000)
    plain = Extractor(small, config).extract_batch([noise])[0]
    config = dataclasses.replace(config, canvases=("128x160",))
    laid = Extractor(small, config).extract_batch([noise])[0]
    places = [{tuple(row) for row in f.keypoints} for f in (plain, laid)]
    assert places[0] == places[1] and len(places[0]) > 40
