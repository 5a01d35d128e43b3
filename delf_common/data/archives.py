# SPDX-License-Identifier: Apache-2.0
"""The files in a tar, tar.gz or zip; none may leave the folder or be a link."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from delf_common.errors import DelfError

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)


class DamagedArchive(DelfError):
    """The archive is cut off or broken: fetch it again."""


class Member(NamedTuple):
    """One file of an archive.

    Args:
        path: below the folder it is unpacked into.
        length: bytes.
        content: to read from, until the next member is asked for.
    """

    path: PurePosixPath
    length: int
    content: IO[bytes]


@contextmanager
def named_damage(path: Path) -> Iterator[None]:
    """Turn the many errors of broken archives into one."""
    try:
        yield
    except DAMAGE as error:
        raise DamagedArchive(f"{path} is cut off or damaged: {error}") from None
    except OSError as error:
        if error.errno is None:  # gzip's own, such as a wrong CRC
            raise DamagedArchive(f"{path} is damaged: {error}") from None
        raise


def members(path: Path, kind: str) -> Iterator[Member]:
    """Give the files of an archive in its order; folders are passed over.

    Raises:
        DelfError: a member is a link, a device or a pipe, or its name is absolute or
            leads out of the folder.
        DamagedArchive: the archive ends too early; further signs of damage come as
            ``DAMAGE`` from here and from reading a member: see ``named_damage``.
    """
    return zip_members(path) if kind == "zip" else tar_members(path)


def tar_members(path: Path) -> Iterator[Member]:
    """Give the files of a tar, compressed or not."""
    with tarfile.open(path, "r:*") as archive:
        for entry in archive:
            inside = safe_path(path, entry.name)
            check_tar_entry(path, entry)
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is not None:
                yield Member(inside, entry.size, content)
        check_end(path, archive)


def check_tar_entry(path: Path, entry: tarfile.TarInfo) -> None:
    """Raise for what is neither a file nor a folder; ask Python's own filter too."""
    if not (entry.isreg() or entry.isdir()):
        raise refused(path, entry.name, "a link, a device or a pipe")
    data_filter = getattr(tarfile, "data_filter", None)  # Python 3.10.12, 3.11.4
    if data_filter is None:
        return
    try:
        data_filter(entry, "/unpacked")
    except tarfile.FilterError as error:
        raise refused(path, entry.name, f"unsafe: {error}") from None


def check_end(path: Path, archive: tarfile.TarFile) -> None:
    """Raise unless the end mark is there; read on to a gzip's own checksum.

    ``tarfile`` takes a file that stops between two members for a whole one.
    """
    file = archive.fileobj
    if file is None:
        return
    file.seek(archive.offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        raise DamagedArchive(f"{path} is cut off or damaged: it has no end mark")
    while file.read(2**20):
        pass


def zip_members(path: Path) -> Iterator[Member]:
    """Give the files of a zip."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            inside = safe_path(path, entry.orig_filename)
            form = stat.S_IFMT(entry.external_attr >> 16)
            if form not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise refused(path, entry.filename, "a link, a device or a pipe")
            if entry.flag_bits & 1:
                raise refused(path, entry.filename, "encrypted")
            if not entry.is_dir():
                with archive.open(entry) as content:
                    yield Member(inside, entry.file_size, content)


def safe_path(path: Path, name: str) -> PurePosixPath:
    """Return a member's name as a path below a folder, or raise DelfError."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or name[1:2] == ":":
        raise refused(path, name, "an absolute path")
    if ".." in inside.parts:
        raise refused(path, name, "a path out of the folder")
    if "\\" in name or "\0" in name:
        raise refused(path, name, "a name with a backslash or a null byte")
    return inside


def refused(path: Path, name: str, why: str) -> DelfError:
    """Return the error that names archive, member and reason."""
    return DelfError(f"{path}: refused to unpack {name[:200]!r}: {why}")
