# SPDX-License-Identifier: Apache-2.0
"""Pictures of what was found: a match of two images, the results of a search."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from delf_common.errors import UsageError
from delf_common.features import Features
from delf_common.io.atomic import replacing
from delf_common.matching.matcher import ImageMatch

Image = NDArray[np.uint8]
Region = tuple[float, float, float, float]
Point = tuple[float, float]

HEIGHT = 480  # of both photographs in a match picture
WIDEST = 1600  # of a photograph in it: a longer panorama is shown lower
GAP = 8
STRIP = 34  # of the title
TILE = 240  # side of a search result
CAPTION = 24
LINE = 18  # of a caption of several, from one to the next
BACKGROUND, INK, FRAME = (255, 255, 255), (20, 20, 20), (220, 30, 30)
OVERSAMPLING = 2  # lines are drawn larger and shrunk, which smooths them
CELL_RADIUS = 3.0  # of a keypoint with scale 1, in pixels of the picture


def draw_match(
    image0: Image,
    image1: Image,
    features0: Features,
    features1: Features,
    result: ImageMatch,
) -> Image:
    """Draw two images side by side with their inliers joined.

    A circle's size shows the keypoint's scale; a colour belongs to a place in image 0.

    Args:
        image0: (H, W, 3) uint8 RGB.
        image1: likewise, of any size; both are shown at one height, if not too wide.
        features0: of image 0.
        features1: of image 1.
        result: of matching them; without inliers only the photographs are shown.

    Returns:
        (H', W', 3) uint8 RGB, a title strip with the counts on top.
    """
    left, right = to_height(image0), to_height(image1)
    offset = left.width + GAP
    canvas = PillowImage.new("RGB", (offset + right.width, HEIGHT), BACKGROUND)
    canvas.paste(left, (0, 0))
    canvas.paste(right, (offset, 0))
    size = (canvas.width * OVERSAMPLING, canvas.height * OVERSAMPLING)
    large = canvas.resize(size, PillowImage.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large, "RGBA")
    pairs = result.matches.pairs[result.verification.inliers]
    for i, j in pairs[::-1]:  # the best keypoints of image 0 last, on top
        start = place(features0, int(i), left.height / image0.shape[0], 0)
        end = place(features1, int(j), right.height / image1.shape[0], offset)
        colour = colour_of(features0.keypoints[i], features0.image_size)
        draw.line([start, end], fill=(*colour, 150), width=OVERSAMPLING)
        circle(draw, start, float(features0.scales[i]), colour)
        circle(draw, end, float(features1.scales[j]), colour)
    smooth = large.resize(canvas.size, PillowImage.Resampling.LANCZOS)
    title = (
        f"DELF correspondences: {len(pairs)} inliers of {len(result.matches)} matches"
    )
    return add_title(smooth, title)


def draw_results(
    query: Image, region: Region | None, results: Sequence[tuple[Image, str]]
) -> Image:
    """Draw a query and its results, five in a row, best first.

    Args:
        query: (H, W, 3) uint8 RGB, framed.
        region: x1, y1, x2, y2 in pixels of the query that was searched for, or None.
        results: picture and caption of each; none shows the query alone.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    columns = 5
    rows = max(-(-len(results) // columns), 1)
    width = (columns + 1) * (TILE + GAP) + GAP
    height = rows * (TILE + CAPTION + GAP) + GAP
    sheet = PillowImage.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    whole = PillowImage.fromarray(query)
    if region is not None:
        stroke = max(max(whole.size) // 100, 2)
        frame = [(region[0], region[1]), (region[2], region[3])]
        ImageDraw.Draw(whole).rectangle(frame, outline=FRAME, width=stroke)
    put_tile(sheet, draw, (GAP, GAP), whole, "query")
    draw.rectangle([(2, 2), (TILE + 2 * GAP - 4, TILE + 2 * GAP - 4)], outline=FRAME)
    for number, (image, caption) in enumerate(results):
        row, column = divmod(number, columns)
        corner = (
            GAP + (column + 1) * (TILE + GAP),
            GAP + row * (TILE + CAPTION + GAP),
        )
        put_tile(sheet, draw, corner, PillowImage.fromarray(image), caption)
    return np.array(sheet, np.uint8)


def save_picture(path: Path, image: Image) -> None:
    """Write a picture beside its name, then rename it.

    Raises:
        UsageError: the suffix is of no picture format.
    """
    if path.suffix.lower() not in PillowImage.registered_extensions():
        raise UsageError(
            f"{path}: {path.suffix or 'no suffix'} is no picture; use .png"
        )
    with replacing(path) as temporary:
        PillowImage.fromarray(image).save(temporary)


def to_height(image: Image) -> PillowImage.Image:
    """Scale a photograph to the height of a match picture, or to its largest width."""
    scale = min(HEIGHT / image.shape[0], WIDEST / image.shape[1])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return PillowImage.fromarray(image).resize((max(size[0], 1), max(size[1], 1)))


def place(features: Features, row: int, scale: float, offset: int) -> Point:
    """Where a keypoint lies in the oversampled picture."""
    x, y = (features.keypoints[row].astype(float) + 0.5) * scale
    return (x + offset) * OVERSAMPLING, y * OVERSAMPLING


def colour_of(keypoint: NDArray[np.float32], size: tuple[int, int]) -> tuple[int, ...]:
    """A bright colour whose hue runs around the middle of image 0."""
    x, y = keypoint / np.array(size) - 0.5
    hue = float(np.arctan2(y, x) / (2 * np.pi)) % 1.0
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85, 1.0))


def circle(
    draw: ImageDraw.ImageDraw, centre: Point, scale: float, colour: tuple[int, ...]
) -> None:
    """Draw a keypoint."""
    radius = OVERSAMPLING * CELL_RADIUS * max(scale, 0.5)
    x, y = centre
    box = [(x - radius, y - radius), (x + radius, y + radius)]
    draw.ellipse(box, outline=(*colour, 230), width=OVERSAMPLING)


def add_title(picture: PillowImage.Image, title: str) -> Image:
    """Put a strip with a title on top."""
    width = max(picture.width, round(font(18).getlength(title)) + 2 * GAP)
    titled = PillowImage.new("RGB", (width, picture.height + STRIP), BACKGROUND)
    titled.paste(picture, ((width - picture.width) // 2, STRIP))
    draw = ImageDraw.Draw(titled)
    draw.text((width / 2, STRIP / 2), title, INK, font(18), anchor="mm")
    return np.array(titled, np.uint8)


def put_tile(
    sheet: PillowImage.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    picture: PillowImage.Image,
    *captions: str,
) -> None:
    """Put a picture, fitted into a square, and lines below it onto the sheet."""
    fitted = picture.copy()
    fitted.thumbnail((TILE, TILE))
    left, top = corner
    middle = (left + (TILE - fitted.width) // 2, top + (TILE - fitted.height) // 2)
    sheet.paste(fitted, middle)
    for number, caption in enumerate(captions):
        below = (left + TILE / 2, top + TILE + 12 + number * LINE)
        draw.text(below, shorten(caption, TILE), INK, font(13), anchor="mm")


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text until it fits; names may hold line breaks."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if font(13).getlength(text) <= width:
        return text
    for keep in range(len(text) - 1, 1, -1):
        cut = f"{text[: keep // 2]}…{text[len(text) - (keep - keep // 2) :]}"
        if font(13).getlength(cut) <= width:
            return cut
    return "…"


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib carries; it has Latin, Greek, Cyrillic and more.

    Without matplotlib Pillow's own, which has Latin.
    """
    try:
        from matplotlib import get_data_path
    except ImportError:
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
