# SPDX-License-Identifier: Apache-2.0
"""Pictures of every kind that people have, as RGB bytes."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from delf_common.config import ExtractConfig
from delf_common.errors import ImageError, UsageError

Image = NDArray[np.uint8]
BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error)


def read_image(source: str | Path | bytes, *, max_pixels: int) -> Image:
    """Decode a picture.

    EXIF orientation is applied. Transparency is laid over white. Grey and palette
    pictures become RGB, CMYK is converted by Pillow, 16-bit and float grey are scaled
    to 8 bits by `to_eight_bits`. Of an animation the first frame is taken.

    Args:
        source: a path, or the file's bytes.
        max_pixels: most pixels, checked before decoding.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: not a picture, damaged, or larger than the limit; names the file.
    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror or error}") from None
    if not data:
        raise ImageError(f"{name}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit follows
            with PillowImage.open(io.BytesIO(data)) as picture:
                refuse_huge(name, picture.size, max_pixels)
                return to_rgb(picture)
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture that Pillow can read") from None
    except PillowImage.DecompressionBombError as error:
        raise ImageError(f"{name}: {error}; larger than Pillow ever opens") from None
    except BROKEN as error:
        raise ImageError(f"{name}: damaged picture ({error})") from None


def refuse_huge(name: str, size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError for a picture over the limit."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width}x{height} is {width * height} pixels, over the limit of "
            f"{max_pixels}; raise --max_image_pixels if you trust the file"
        )


def to_rgb(picture: PillowImage.Image) -> Image:
    """Turn an opened picture of any mode into (H, W, 3) uint8 RGB, upright."""
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        grey = to_eight_bits(np.asarray(upright), upright.mode)
        return np.repeat(grey[..., None], 3, axis=2)
    if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or (
        "transparency" in upright.info
    ):
        over = upright.convert("RGBA")
        white = PillowImage.new("RGBA", over.size, "white")
        upright = PillowImage.alpha_composite(white, over)
    return np.array(upright.convert("RGB"), np.uint8)


def to_eight_bits(grey: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Scale wide grey values to 0..255; clipping would turn most of them white.

    16-bit values lose their low byte. 32-bit integers (Pillow also reads some 16-bit
    files so) do too, unless all are below 256. Floats in 0..1 are multiplied by 255,
    others taken as they are.
    """
    values = np.asarray(grey, np.float64)
    values = np.where(np.isfinite(values), values, 0)
    if mode == "F":
        values = values * 255 if values.max(initial=0) <= 1 else values
    elif mode != "I" or values.max(initial=0) > 255:
        values = np.floor(values / 256)
    return np.clip(values, 0, 255).astype(np.uint8)


def resize_image(
    image: Image, config: ExtractConfig
) -> tuple[Image, tuple[float, float]]:
    """Bring a picture within the size limits, by TensorFlow DELF's rule.

    Let L be the longer side. Above ``max_image_size`` both sides are multiplied by
    max / L, else below ``min_image_size`` by min / L, and rounded; bilinear on bytes.
    ``use_square_images`` then makes both sides the longer one.

    Args:
        image: (H, W, 3) uint8.
        config: the limits.

    Returns:
        The picture, and new / old side for height and width.

    Source: tensorflow/models research/delf utils.py, ResizeImage.
    """
    height, width = image.shape[:2]
    longer, factor = max(height, width), 1.0
    if config.max_image_size is not None and longer > config.max_image_size:
        factor = config.max_image_size / longer
    elif config.min_image_size is not None and longer < config.min_image_size:
        factor = config.min_image_size / longer
    new = [max(round(side * factor), 1) for side in (height, width)]
    if config.use_square_images:
        new = [max(new)] * 2
    if new == [height, width]:
        return image, (1.0, 1.0)
    resized = PillowImage.fromarray(image).resize(
        (new[1], new[0]), PillowImage.Resampling.BILINEAR
    )
    return np.array(resized, np.uint8), (new[0] / height, new[1] / width)


def crop_region(image: Image, region: tuple[float, float, float, float]) -> Image:
    """Cut out x1, y1, x2, y2, rounded to pixels and clipped to the picture.

    Raises:
        UsageError: nothing of the picture is left.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (round(value) for value in region)
    part = image[
        max(y1, 0) : max(min(y2, height), 0), max(x1, 0) : max(min(x2, width), 0)
    ]
    if not part.size:
        raise UsageError(
            f"the region {region} holds nothing of a {width}x{height} image"
        )
    return np.ascontiguousarray(part)
