# SPDX-License-Identifier: Apache-2.0
"""Whether training will be able to decode a picture, found out three times faster."""

from __future__ import annotations

import cv2
import numpy as np

from delf_common.config import ExtractConfig
from delf_common.io.images import open_picture
from delf_common.training.decoding import JPEG, decode_record
from delf_common.training.records import Record

EIGHTH = cv2.IMREAD_REDUCED_GRAYSCALE_8


def check_record(record: Record) -> None:
    """Raise ImageError, naming the record, unless `decode_record` decodes it.

    A grey or RGB JPEG is decoded at an eighth of its size, for which every coded byte
    is read too; everything else, and what fails so, by `decode_record` itself.
    """
    if not _decodes_small(record.image):
        decode_record(record)


def _decodes_small(data: bytes) -> bool:
    """Whether these bytes are a JPEG of the usual kinds and decode."""
    if not data.startswith(JPEG):
        return False
    try:
        with open_picture(data) as picture:
            usual = picture.mode in ("L", "RGB")
            width, height = picture.size
    except Exception:  # decode_record says what is wrong with it
        return False
    if not usual or width * height > ExtractConfig.max_image_pixels:
        return False
    return cv2.imdecode(np.frombuffer(data, np.uint8), EIGHTH) is not None
