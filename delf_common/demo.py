# SPDX-License-Identifier: Apache-2.0
"""Example photographs with a known ground truth: scikit-image's, seen from elsewhere.

Each photograph that scikit-image carries in its wheel is a place; views of it are
rendered with a known homography, other light, an occluding box, and JPEG compression.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from delf_common.extras import need
from delf_common.io.atomic import replacing, write_text
from delf_common.protocols import Image

PLACES = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "rocket")
VIEWS = 3
JPEG_QUALITY = 85
MOST_SHIFT = 0.16  # of a corner, as a share of the image's sides


def write_demo(folder: Path, seed: int = 0) -> list[str]:
    """Write the photographs, their views, and the truth about them.

    The folder gets ``<place>.jpg``, ``<place>_1.jpg`` ..., ``homographies.json`` (3x3,
    pixels x, y of the photograph to pixels of the view) and ``gnd.json`` (which
    photographs show the same place, for ``delf evaluate``).

    Args:
        folder: made if missing; files of these names are replaced.
        seed: of the views.

    Returns:
        Names of the pictures, sorted.
    """
    need("skimage")
    from skimage import data

    names: list[str] = []
    truth: dict[str, list[list[float]]] = {}
    places: dict[str, list[str]] = {}
    for number, place in enumerate(PLACES):
        original = np.atleast_3d(getattr(data, place)())
        photograph = np.broadcast_to(original, (*original.shape[:2], 3))
        rng = np.random.default_rng([seed, number])
        places[place] = [f"{place}.jpg"]
        write_jpeg(folder / f"{place}.jpg", photograph)
        for view in range(1, VIEWS + 1):
            name = f"{place}_{view}.jpg"
            picture, homography = render_view(photograph, rng)
            write_jpeg(folder / name, picture)
            truth[name] = homography.tolist()
            places[place].append(name)
        names += places[place]
    write_text(folder / "homographies.json", json.dumps(truth, indent=1))
    write_text(folder / "gnd.json", json.dumps(ground_truth(places), indent=1))
    return sorted(names)


def render_view(
    photograph: Image, rng: np.random.Generator
) -> tuple[Image, NDArray[np.float64]]:
    """Look at a flat photograph from elsewhere, in other light, past an obstacle.

    Args:
        photograph: (H, W, 3) uint8.
        rng: of the viewpoint, the light and the obstacle.

    Returns:
        The view, of the photograph's size, and the (3, 3) homography from its pixels
        (x, y) to the view's.
    """
    height, width = photograph.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shift = rng.uniform(-MOST_SHIFT, MOST_SHIFT, (4, 2)) * (width, height)
    homography = cv2.getPerspectiveTransform(
        corners, (corners + shift).astype(np.float32)
    )
    warped = cv2.warpPerspective(
        np.ascontiguousarray(photograph), homography, (width, height)
    )
    light = rng.uniform(0.6, 1.2) * (warped / 255.0) ** rng.uniform(0.8, 1.3)
    view: Image = np.clip(light * 255, 0, 255).astype(np.uint8)
    top, left = rng.uniform(0.1, 0.7, 2) * (height, width)
    bottom, right = (top, left) + rng.uniform(0.1, 0.25, 2) * (height, width)
    view[int(top) : int(bottom), int(left) : int(right)] = rng.integers(0, 256, 3)
    return view, np.asarray(homography, np.float64)


def ground_truth(places: dict[str, list[str]]) -> dict[str, object]:
    """Every picture as a query: the others of its place are its positives."""
    queries = [
        {
            "query": name,
            "place": place,
            "positives": [other for other in pictures if other != name],
            "junk": [name],
        }
        for place, pictures in places.items()
        for name in pictures
    ]
    return {
        "protocol": "leave-one-out: the query itself is junk",
        "places": {place: {"images": pictures} for place, pictures in places.items()},
        "queries": queries,
    }


def write_jpeg(path: Path, picture: Image) -> None:
    """Write a JPEG beside its name, then rename it."""
    bgr = np.ascontiguousarray(picture[..., ::-1])
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencode(".jpg", bgr, quality)[1].tobytes())
