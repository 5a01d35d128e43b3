# SPDX-License-Identifier: Apache-2.0
"""Files out of Debian packages and Python wheels, without installing either.

A path names a file in the package; ``archive!member`` names one inside an archive that
the package carries: a zip (games call it pk3) or a Qt resource file (rcc).
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from delf_common.errors import DelfError

_FOLDER = 2
_ZLIB = 1
_NODE_SIZES = {1: 14, 2: 22, 3: 22}


def fetch_package(registry: str, package: str, version: str, folder: Path) -> Path:
    """Download one package into ``folder`` with apt-get or pip; give its file.

    A file that is already there is not fetched again.

    Raises:
        DelfError: the registry is neither "apt" nor "pip", or its client failed.
    """
    own = folder / f"{registry}-{package}-{version.replace(':', '_')}"
    if not any(own.glob("*.deb")) and not any(own.glob("*.whl")):
        own.mkdir(parents=True, exist_ok=True)
        _download(registry, package, version, own)
    return next(path for path in own.iterdir() if path.suffix in {".deb", ".whl"})


def _download(registry: str, package: str, version: str, folder: Path) -> None:
    if registry == "apt":
        command = ["apt-get", "download", f"{package}={version}"]
    elif registry == "pip":
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--only-binary=:all:", f"{package}=={version}"]
    else:
        raise DelfError(f"registry {registry!r} of {package} is neither apt nor pip")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise DelfError(
            f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}; "
            "apt-get update may help, or a newer version in the list"
        )


def read_members(package_file: Path, paths: Iterable[str]) -> dict[str, bytes]:
    """Bytes of the named files; names that the package lacks are left out.

    Args:
        package_file: a .deb or a .whl.
        paths: paths in the package, or ``archive!member`` (see the module).
    """
    wanted: dict[str, list[str]] = {}
    for path in paths:
        wanted.setdefault(path.partition("!")[0], []).append(path)
    found: dict[str, bytes] = {}
    for name, content in _package_files(package_file, set(wanted)):
        for path in wanted[name]:
            member = path.partition("!")[2]
            if not member:
                found[path] = content
            elif (inner := read_archive_member(content, member)) is not None:
                found[path] = inner
    return found


def _package_files(package_file: Path, names: set[str]) -> Iterator[tuple[str, bytes]]:
    if package_file.suffix == ".whl":
        with zipfile.ZipFile(package_file) as wheel:
            for name in sorted(names & set(wheel.namelist())):
                yield name, wheel.read(name)
        return
    command = ["dpkg-deb", "--fsys-tarfile", str(package_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for entry in archive:
                name = entry.name.removeprefix("./")
                content = archive.extractfile(entry) if name in names else None
                if content is not None:
                    yield name, content.read()


def read_archive_member(content: bytes, member: str) -> bytes | None:
    """One file of a zip or of a Qt resource file; None when it is not in there."""
    if content.startswith(b"qres"):
        return next((data for name, data in read_rcc(content) if name == member), None)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(member) if member in archive.namelist() else None


def read_rcc(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of each file of a binary Qt resource file.

    The layout is the one ``rcc --binary`` writes: a tree of nodes, each with the offset
    of its name and of its children or its data. Zstd data is not read.

    Raises:
        DelfError: the version of the format is none of 1 to 3.
    """
    version, tree, data, names = struct.unpack_from(">4xIIII", content)
    if version not in _NODE_SIZES:
        raise DelfError(f"Qt resource file of version {version}; 1 to 3 can be read")
    pending = [(0, "")]
    while pending:
        index, parent = pending.pop()
        node = tree + index * _NODE_SIZES[version]
        name_offset, flags = struct.unpack_from(">IH", content, node)
        path = f"{parent}/{_rcc_name(content, names + name_offset)}" if index else ""
        if flags & _FOLDER:
            count, first = struct.unpack_from(">II", content, node + 6)
            pending += [(child, path) for child in range(first, first + count)]
        else:
            (offset,) = struct.unpack_from(">I", content, node + 10)
            (size,) = struct.unpack_from(">I", content, data + offset)
            raw = content[data + offset + 4 : data + offset + 4 + size]
            yield path, zlib.decompress(raw[4:]) if flags & _ZLIB else raw


def _rcc_name(content: bytes, offset: int) -> str:
    (length,) = struct.unpack_from(">H", content, offset)
    return content[offset + 6 : offset + 6 + 2 * length].decode("utf-16-be")
