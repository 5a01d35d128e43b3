# SPDX-License-Identifier: Apache-2.0
"""Pictures of every kind that people have, as RGB bytes."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from delf_common.config import ExtractConfig
from delf_common.errors import ImageError, UsageError

Image = NDArray[np.uint8]
RUNS_PROGRAMS = frozenset(["EPS"])  # Pillow hands these files to Ghostscript
ORIENTATION = 0x0112  # EXIF tag
UPRIGHT: dict[
    int, Callable[[Image], Image]
] = {  # how to turn the rows and columns of each EXIF orientation
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: array[::-1].swapaxes(0, 1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: array[:, ::-1].swapaxes(0, 1),
}


def read_image(source: str | Path | bytes, *, max_pixels: int) -> Image:
    """Decode a picture; safe in threads, and no setting of Pillow is changed.

    EXIF orientation is applied. Transparency is laid over white. Grey and palette
    pictures become RGB, CMYK is converted by Pillow, 16-bit and float grey are scaled
    to 8 bits by `to_eight_bits`. Of an animation the first frame is taken.

    Args:
        source: a path, or the file's bytes.
        max_pixels: most pixels, checked before decoding. Pillow's own limit of 179
            million stays in force for WebP and GIF.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: not a picture, damaged, or larger than the limit; names the file.
    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name}: {reason}") from None
    if not data:
        raise ImageError(f"{name}: the file is empty")
    try:
        with open_picture(data) as picture:
            refuse_huge(name, picture.size, max_pixels)
            return to_rgb(picture)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture that Pillow can read") from None
    except PillowImage.DecompressionBombError as error:
        raise ImageError(f"{name}: {error}; larger than Pillow ever opens") from None
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        what = str(error) or type(error).__name__
        raise ImageError(f"{name}: damaged picture ({what})") from None


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture once it is upright; only the header is read.

    Raises:
        ImageError: not a picture, or damaged; names the file.
    """
    try:
        with open_picture(path.read_bytes()) as picture:
            width, height = picture.size
            turned = read_orientation(picture) >= 5
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        what = str(error) or type(error).__name__
        raise ImageError(f"{path}: its size cannot be read ({what})") from None
    return (height, width) if turned else (width, height)


def open_picture(data: bytes) -> PillowImage.Image:
    """Read a picture's header as `PIL.Image.open` does, but without its pixel limit.

    That limit is a global, which no thread can change for itself alone.

    Raises:
        UnidentifiedImageError: no decoder knows the bytes, or the header is damaged.
    """
    PillowImage.preinit()  # the common kinds, to be tried first
    PillowImage.init()
    for kind in PillowImage.ID:
        factory, accepts = PillowImage.OPEN[kind]
        answer = accepts(data[:16]) if accepts else True  # or why not, as text
        if kind in RUNS_PROGRAMS or not answer or isinstance(answer, str):
            continue
        try:
            return factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # not this kind after all
    raise UnidentifiedImageError


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
    turn = UPRIGHT.get(read_orientation(picture))
    pixels = to_pixels(picture)
    return np.array(turn(pixels) if turn else pixels, np.uint8, order="C")


def read_orientation(picture: PillowImage.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where the EXIF is missing or damaged."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF says nothing of the pixels, which may be whole
        return 1


def to_pixels(picture: PillowImage.Image) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a decoded picture, as it lies in the file."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        grey = to_eight_bits(np.asarray(picture), picture.mode)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        white = PillowImage.new("RGBA", over.size, "white")
        picture = PillowImage.alpha_composite(white, over)
    return np.asarray(picture.convert("RGB"))


def to_eight_bits(grey: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Scale wide grey values to 0..255; clipping would turn most of them white.

    16-bit values lose their low byte. 32-bit integers and floats go by the largest
    value: floats up to 1 are multiplied by 255; values up to 255 are taken as they are;
    up to 65535 they lose the low 8 bits; above, so many that the largest fits. Below 0
    and NaN is black.

    Args:
        grey: (H, W) pixels.
        mode: Pillow's name of their type: "I;16" and its kin, "I", or "F".
    """
    exact = np.float64 if mode == "I" else np.float32
    values: NDArray[Any] = np.asarray(grey, exact)
    values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
    largest = float(values.max(initial=0))
    if mode == "F" and largest <= 1:
        factor = 255.0
    elif mode in ("I", "F") and largest <= 255:
        factor = 1.0
    else:
        factor = 2.0 ** (8 - max(math.frexp(math.floor(largest))[1], 16))
    return np.clip(values * exact(factor), 0, 255).astype(np.uint8)


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
    if not all(map(math.isfinite, region)):
        raise UsageError(f"the region {region} must be four finite numbers")
    x1, y1, x2, y2 = (round(value) for value in region)
    part = image[
        max(y1, 0) : max(min(y2, height), 0), max(x1, 0) : max(min(x2, width), 0)
    ]
    if not part.size:
        raise UsageError(
            f"the region {region} holds nothing of a {width}x{height} image"
        )
    return np.ascontiguousarray(part)
