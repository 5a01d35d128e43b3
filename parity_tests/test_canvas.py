# SPDX-License-Identifier: Apache-2.0
"""Levels on fixed canvases look where they look without one."""

import dataclasses

import pytest
from small_networks import EVERY

from delf_common.errors import DelfError
from delf_common.extraction.canvas import place
from delf_common.extraction.receptive_field import ReceptiveField
from delf_common.weights.architectures import receptive_field

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
