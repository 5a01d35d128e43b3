# SPDX-License-Identifier: Apache-2.0
"""Archives that are cut off, damaged or mean harm, and a kill while one is unpacked."""

import dataclasses
import io
import tarfile
import zipfile

import pytest
from download_layout import jpeg_name, tar_of, tgz_of

from delf_common.data.archives import DamagedArchive
from delf_common.data.sources import gldv2_tar, pretrained
from delf_common.data.unpacking import unpack
from delf_common.errors import DelfError

TAR = gldv2_tar("train", 0)
TGZ = dataclasses.replace(TAR, kind="tgz")
ZIP = next(part for part in pretrained() if part.kind == "zip")


@pytest.fixture
def try_unpack(tmp_path):
    """Unpack bytes into tmp_path/out; the archive lies beside."""

    def run(part, content):
        archive = tmp_path / "images_000.tar"
        archive.write_bytes(content)
        return unpack(part, archive, tmp_path / "out")

    return run


def everything(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def with_entry(**fields):
    """Return a tar with a good file and one made as told."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        good = tarfile.TarInfo("good.jpg")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        entry = tarfile.TarInfo()
        for name, value in fields.items():
            setattr(entry, name, value)
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "../escaped"}, "out of the folder"),
        ({"name": "a/../../escaped"}, "out of the folder"),
        ({"name": "/tmp/escaped"}, "absolute"),
        ({"name": "C:/escaped"}, "absolute"),
        ({"name": "a\\..\\escaped"}, "backslash"),
        ({"name": "l", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link"),
        ({"name": "l", "type": tarfile.SYMTYPE, "linkname": "good.jpg"}, "a link"),
        ({"name": "l", "type": tarfile.LNKTYPE, "linkname": "good.jpg"}, "a link"),
        ({"name": "d", "type": tarfile.CHRTYPE, "devmajor": 1}, "a device"),
        ({"name": "d", "type": tarfile.BLKTYPE, "devmajor": 1}, "a device"),
        ({"name": "p", "type": tarfile.FIFOTYPE}, "a pipe"),
    ],
)
def test_what_escapes_or_is_no_file_is_refused_and_nothing_is_unpacked(
    try_unpack, tmp_path, fields, said
):
    with pytest.raises(DelfError, match=said):
        try_unpack(TAR, with_entry(**fields))
    assert everything(tmp_path) == ["images_000.tar", "out"]


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../x"])
def test_a_zip_that_escapes_is_refused(try_unpack, tmp_path, name):
    with pytest.raises(DelfError, match="refused"):
        try_unpack(ZIP, zip_of({name: b"x"}))
    assert everything(tmp_path) == ["images_000.tar", "out"]


def test_a_link_in_a_zip_is_refused(try_unpack):
    link = zipfile.ZipInfo("a/b/link")
    link.external_attr = 0o120777 << 16
    with pytest.raises(DelfError, match="a link"):
        try_unpack(ZIP, zip_of({link: b"/etc/passwd"}))


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_the_pca_archive_loses_its_two_outer_folders(try_unpack, tmp_path):
    files = {
        "delf_-pca-master/README.md": b"r",
        "delf_-pca-master/pca/mean.npy": b"m",
    }
    assert try_unpack(ZIP, zip_of(files)) == 1
    assert everything(tmp_path / "out") == ["mean.npy"]


FILES = {jpeg_name(i): bytes([i]) * (700 + i) for i in range(6)}


@pytest.mark.parametrize("part", [TAR, TGZ], ids=["tar", "tgz"])
def test_an_archive_cut_off_anywhere_is_noticed_and_unpacks_nothing(
    try_unpack, tmp_path, part
):
    whole = tar_of(FILES) if part is TAR else tgz_of(FILES)
    # Past the end mark a tar has only padding; of a gzip every byte counts.
    end = 6 * (512 + 1024) + 512 if part is TAR else len(whole)
    for length in [*range(1, end, 7 if part is TGZ else 256), end - 1]:
        with pytest.raises(DamagedArchive):
            try_unpack(part, whole[:length])
        assert everything(tmp_path) == ["images_000.tar", "out"]
    assert try_unpack(part, whole) == 6


def test_a_flipped_bit_in_a_gzip_is_noticed(try_unpack, tmp_path):
    content = bytearray(tgz_of(FILES))
    content[-6] ^= 1  # in the checksum of the contents
    with pytest.raises(DamagedArchive):
        try_unpack(TGZ, bytes(content))
    assert everything(tmp_path / "out") == []


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(try_unpack):
    content = bytearray(tar_of(FILES))
    content[3 * (512 + 1024) + 10] ^= 1
    with pytest.raises(DamagedArchive):
        try_unpack(TAR, bytes(content))


def test_two_files_that_would_get_one_name_are_refused(try_unpack):
    part = dataclasses.replace(TAR, flatten=True)
    with pytest.raises(DelfError, match="two of its files"):
        try_unpack(part, tar_of({"a/x.jpg": b"1", "b/x.jpg": b"2"}))


def test_unpacking_again_after_a_kill_gives_the_same_files(
    try_unpack, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    calls = []

    def kill(self, target):
        if len(calls) == 3:
            raise Killed
        calls.append(target)
        return rename(self, target)

    from pathlib import Path

    rename = Path.replace
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        patch.setattr("shutil.rmtree", lambda *a, **k: None)  # a kill tidies nothing
        with pytest.raises(Killed):
            try_unpack(TAR, tar_of(FILES))
    assert (tmp_path / "out/.unpacking-images_000.tar").exists()
    assert try_unpack(TAR, tar_of(FILES)) == 6
    files = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes()
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    }
    assert files == FILES


def test_a_file_that_does_not_fit_is_not_begun(try_unpack, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="No space"):
        try_unpack(TAR, tar_of(FILES))
    assert everything(tmp_path / "out") == []


def test_an_empty_archive_gives_no_file(try_unpack):
    assert try_unpack(TAR, tar_of({})) == 0
