# SPDX-License-Identifier: Apache-2.0
"""Rendered views: reproducible, without holes, and of the photograph they claim."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from delf_common.errors import DelfError, ImageError
from delf_common.training.view_folder import render_folder
from delf_common.training.view_geometry import (
    _tells,
    change_viewpoint,
    draw_homography,
    view_size,
)
from delf_common.training.view_light import expose
from delf_common.training.views import ViewConfig, render_view

SMALL = ViewConfig(long_side=96)


def picture(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Coloured blocks: structure that survives warping."""
    blocks = np.random.default_rng(seed).integers(30, 226, (12, 16, 3)).astype(np.uint8)
    return cv2.resize(blocks, size[::-1], interpolation=cv2.INTER_NEAREST)


def test_the_same_generator_state_gives_the_same_bytes():
    views = [
        render_view(picture(0), np.random.default_rng([1, 2]), [picture(1)], SMALL)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(views[0], views[1])


def test_another_view_number_gives_another_view():
    first, second = (
        render_view(picture(0), np.random.default_rng([1, n]), [], SMALL)
        for n in range(2)
    )
    assert first.shape != second.shape or np.any(first != second)


@pytest.mark.parametrize("aspect", [4 / 3, 3 / 4, 1.0])
def test_a_view_is_rgb_uint8_and_its_longer_side_is_as_configured(aspect):
    config = ViewConfig(long_side=96, aspects=(aspect,))
    view = render_view(picture(0), np.random.default_rng(0), [], config)
    assert view.dtype == np.uint8
    assert view.shape == (*view_size(aspect, 96)[::-1], 3)
    assert max(view.shape) == 96


def test_no_pixel_of_a_view_is_empty():
    white = np.full((90, 120, 3), 255, np.uint8)
    for number in range(40):
        others = [white] if number % 2 else []
        view = change_viewpoint(white, np.random.default_rng(number), others, SMALL)
        assert view.min() >= 250


def test_a_view_shows_a_good_part_of_its_photograph():
    marked = picture(3)
    marked[..., 0] = 255
    stranger = np.zeros((90, 120, 3), np.uint8)
    for number in range(40):
        rng = np.random.default_rng(number)
        view = change_viewpoint(marked, rng, [stranger], SMALL)
        assert (view[..., 0] > 128).mean() > 0.3


def test_a_view_beside_the_photograph_or_of_sky_only_tells_nothing():
    detail = np.zeros((48, 48))
    detail[24:] = 10
    source, target = (160, 120), (160, 120)
    beside = np.array([[1, 0, 500], [0, 1, 0], [0, 0, 1.0]])
    sky = np.array([[4, 0, 0], [0, 4, 0], [0, 0, 1.0]])
    assert not _tells(beside, detail, source, target)
    assert not _tells(sky, detail, source, target)
    assert _tells(np.eye(3), detail, source, target)


def test_without_any_freedom_the_photograph_comes_back_where_it_was():
    still = ViewConfig(
        tilt=0, rotation=0, rare_rotation=0, zoom=(1.0, 1.0), shift=0, aspects=(4 / 3,)
    )
    matrix = draw_homography((160, 120), (160, 120), np.random.default_rng(0), still)
    corner = matrix @ [159, 119, 1]
    np.testing.assert_allclose(corner[:2] / corner[2], [160, 120], atol=1e-3)


def test_lens_and_file_keep_the_mean_of_a_grey_view():
    grey = np.full((60, 80, 3), 120, np.float32)
    every = ViewConfig(blur=1, motion=1, noise=1)
    for number in range(10):
        view = expose(grey, np.random.default_rng(number), every)
        assert abs(float(view.mean()) - 120) < 3


def write_photos(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"place{number}.jpg"), picture(number))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*.jpg"))
    }


def test_any_number_of_workers_writes_the_same_bytes(tmp_path):
    write_photos(tmp_path / "photos", 3)
    for workers in (1, 2):
        out = tmp_path / f"by{workers}"
        assert render_folder(tmp_path / "photos", out, 2, 7, workers, SMALL) == 6
    one, two = files_of(tmp_path / "by1"), files_of(tmp_path / "by2")
    assert sorted(one) == [f"place{p}/{v:03d}.jpg" for p in range(3) for v in range(2)]
    assert one == two


def test_a_folder_cut_off_in_the_middle_is_completed_to_the_same_bytes(tmp_path):
    write_photos(tmp_path / "photos", 2)
    out = tmp_path / "views"
    render_folder(tmp_path / "photos", out, 3, 7, config=SMALL)
    before = files_of(out)
    (out / "place1" / "001.jpg").unlink()
    assert render_folder(tmp_path / "photos", out, 3, 7, config=SMALL) == 1
    assert files_of(out) == before


def test_another_seed_gives_other_views(tmp_path):
    write_photos(tmp_path / "photos", 1)
    render_folder(tmp_path / "photos", tmp_path / "a", 1, 0, config=SMALL)
    render_folder(tmp_path / "photos", tmp_path / "b", 1, 1, config=SMALL)
    assert files_of(tmp_path / "a") != files_of(tmp_path / "b")


def test_an_empty_folder_and_a_broken_picture_are_clear_errors(tmp_path):
    with pytest.raises(DelfError, match=r"holds no \*\.jpg"):
        render_folder(tmp_path, tmp_path / "out", 1, 0)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="broken"):
        render_folder(tmp_path, tmp_path / "out", 1, 0)
