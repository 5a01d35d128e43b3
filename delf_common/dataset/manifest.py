# SPDX-License-Identifier: Apache-2.0
"""What a folder of built shards holds: one JSON file, written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from delf_common.data.checksums import checksum_of
from delf_common.errors import DelfError
from delf_common.io.atomic import write_text

MANIFEST = "manifest.json"
BUILDING = ".building"  # folder of what a build has done so far; gone when it is whole
KIND, VERSION = "delf shards", 1
TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class FileEntry:
    """One file of the folder.

    Args:
        name: of the file, without folders.
        bytes: its length.
        sha256: of all of it.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """One shard: its file, and for MindRecord the index beside it.

    Args:
        records: how many it holds.
        files: the shard, then what belongs to it.
    """

    records: int
    files: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Split:
    """The training or the validation records.

    Args:
        records: how many there are.
        classes: how many classes have a record.
        labels: file with the label of every record, in the order of the shards.
        shards: in order.
    """

    records: int
    classes: int
    labels: FileEntry
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    """What was built, and from what.

    Args:
        format: "array_record" or "mindrecord".
        num_classes: how many classes there are, with records or without.
        source: provenance of the records.
        arguments: settings that make the bytes of the shards.
        plan: sha256 of which record goes where.
        skipped: pictures that are missing or do not decode, listed in skipped.csv.
        splits: by name, "train" and perhaps "validation".
    """

    format: str
    num_classes: int
    source: Mapping[str, str]
    arguments: Mapping[str, Any]
    plan: str
    skipped: int
    splits: Mapping[str, Split]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest as a whole or not at all."""
    document = {"kind": KIND, "version": VERSION, **asdict(manifest)}
    write_text(folder / MANIFEST, json.dumps(document, indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest.

    Raises:
        DelfError: there is none, it is not one of shards, or of another version.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.pop("kind", None) != KIND:
            raise DelfError(
                f"{path} is no manifest of built shards; build them with "
                "`delf build-dataset`"
            )
        version = document.pop("version")
        if version != VERSION:
            raise DelfError(
                f"{path}: version {version!r}, this program reads {VERSION}; build the "
                "shards again"
            )
        splits = {name: _split(entry) for name, entry in document["splits"].items()}
        return Manifest(**{**document, "splits": splits})
    except OSError as error:
        raise DelfError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DelfError(
            f"{path} is damaged ({error}); build the shards again"
        ) from None


def _split(entry: dict[str, Any]) -> Split:
    """One split of the JSON document."""
    shards = tuple(
        Shard(shard["records"], tuple(FileEntry(**file) for file in shard["files"]))
        for shard in entry["shards"]
    )
    return Split(
        entry["records"], entry["classes"], FileEntry(**entry["labels"]), shards
    )


def describe_file(path: Path) -> FileEntry:
    """Read a file for its entry."""
    digest = checksum_of(path, "sha256").text().partition(":")[2]
    return FileEntry(path.name, path.stat().st_size, digest)


def check_file(folder: Path, entry: FileEntry, *, thorough: bool) -> None:
    """Raise DelfError unless a file is there with its length.

    Args:
        folder: where it is.
        entry: what the manifest says of it.
        thorough: also read all of it and compare its sha256.
    """
    path = folder / entry.name
    remedy = "fetch it again, or build the shards again"
    if not path.is_file():
        raise DelfError(f"{path} is missing, which {MANIFEST} lists; {remedy}")
    length = path.stat().st_size
    if length != entry.bytes:
        raise DelfError(
            f"{path} has {length} bytes, {MANIFEST} says {entry.bytes}; {remedy}"
        )
    if thorough and describe_file(path).sha256 != entry.sha256:
        raise DelfError(f"{path}: its sha256 is not the one in {MANIFEST}; {remedy}")
