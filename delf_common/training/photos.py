# SPDX-License-Identifier: Apache-2.0
"""The freely licensed photographs the shipped model learns from, from a list.

The list (tools/training_photos.json) holds no picture: it says for each photograph
which package carries it, under which licence, by whom, and what its bytes hash to.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageOps

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing, write_text
from delf_common.training.photo_packages import fetch_package, read_members

LONG_SIDE = 1600
QUALITY = 92


@dataclass(frozen=True)
class Photo:
    """One photograph: where it is from and what may be done with it.

    Attributes:
        name: the file's name without ".jpg"; also the name of its class.
        registry: "apt" or "pip".
        package: name in that registry.
        version: of the package.
        path: in the package, or ``archive!member``.
        licence: as the package's copyright file says, SPDX-like.
        author: as the package's copyright file says.
        sha256: of the original file's bytes.
    """

    name: str
    registry: str
    package: str
    version: str
    path: str
    licence: str
    author: str
    sha256: str


def read_photo_list(path: Path) -> list[Photo]:
    """Photographs of the list file, sorted by package and name.

    Raises:
        DelfError: the file is not such a list, or a name stands twice.
    """
    try:
        photos = [Photo(**row) for row in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise DelfError(f"{path} is not a list of photographs: {error}") from error
    names = [photo.name for photo in photos]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DelfError(f"{path}: these names stand twice: {', '.join(twice)}")
    return sorted(photos, key=lambda photo: (_package(photo), photo.name))


def _package(photo: Photo) -> tuple[str, str, str]:
    return photo.registry, photo.package, photo.version


def fetch_photos(photos: list[Photo], output: Path, downloads: Path) -> Iterator[Photo]:
    """Write ``output/NAME.jpg`` for each photograph and give it back when written.

    One that is there already is kept. ``output/manifest.json`` comes last: the list as
    it was carried out.

    Raises:
        DelfError: a package or a file in it is missing, or its bytes have changed.
    """
    for key, group in groupby(photos, _package):
        here = list(group)
        missing = [p for p in here if not (output / f"{p.name}.jpg").exists()]
        contents: dict[str, bytes] = {}
        if missing:
            package_file = fetch_package(*key, downloads)
            contents = read_members(package_file, [photo.path for photo in missing])
        for photo in missing:
            write_photo(photo, contents.get(photo.path), output)
        yield from here
    rows = [asdict(photo) for photo in photos]
    write_text(output / "manifest.json", json.dumps(rows, indent=1, ensure_ascii=False))


def write_photo(photo: Photo, content: bytes | None, output: Path) -> None:
    """Check the original's bytes and write them as a JPEG of at most LONG_SIDE pixels.

    Raises:
        DelfError: ``content`` is None (not in the package) or hashes to something else.
    """
    where = f"{photo.path} of {photo.package} {photo.version}"
    if content is None:
        raise DelfError(f"{where} is not in the package")
    if hashlib.sha256(content).hexdigest() != photo.sha256:
        raise DelfError(f"{where} is not the file the list names (sha256 differs)")
    with Image.open(io.BytesIO(content)) as original:
        picture = ImageOps.exif_transpose(original).convert("RGB")
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    with replacing(output / f"{photo.name}.jpg") as temporary:
        picture.save(temporary, quality=QUALITY, subsampling=0)
