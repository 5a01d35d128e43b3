# SPDX-License-Identifier: Apache-2.0
"""One shard from its pictures: written beside, read back, renamed, noted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from delf_common.dataset.array_records import ArrayRecordShard
from delf_common.dataset.checking import check_record
from delf_common.dataset.manifest import BUILDING, FileEntry, Shard, describe_file
from delf_common.errors import DelfError, ImageError
from delf_common.io.atomic import write_text
from delf_common.training.records import Record
from delf_common.training.shards import open_shard


@dataclass(frozen=True)
class Picture:
    """A picture to be stored.

    Args:
        path: of the file.
        label: its class.
        name: what to call it.
    """

    path: str
    label: int
    name: str


@dataclass(frozen=True)
class ShardJob:
    """All that a process needs to write a shard.

    Args:
        folder: where the shards go.
        names: of the files of all shards of this split, in order.
        number: which of them this is.
        pictures: in order.
        format: "array_record" or "mindrecord".
        check: decode every picture first.
        strict: raise at the first bad picture.
    """

    folder: Path
    names: Sequence[str]
    number: int
    pictures: Sequence[Picture]
    format: str
    check: bool
    strict: bool

    @property
    def note(self) -> Path:
        """File that says that the shard is finished."""
        return self.folder / BUILDING / f"{self.names[self.number]}.json"


@dataclass(frozen=True)
class ShardReport:
    """A finished shard.

    Args:
        shard: its entry of the manifest.
        labels: of its records, in order.
        skipped: name, path and reason of every picture that is not in it.
    """

    shard: Shard
    labels: list[int]
    skipped: list[tuple[str, str, str]]


def build_shard(job: ShardJob) -> ShardReport:
    """Write one shard and the note that it is finished.

    Raises:
        DelfError: a picture is bad and the job is strict, or the shard did not reach
            the disk whole.
    """
    name = job.names[job.number]
    place = job.folder / BUILDING / f"{name}.writing"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    labels: list[int] = []
    skipped: list[tuple[str, str, str]] = []
    try:
        with ArrayRecordShard(place / name) as shard:
            for record in read_pictures(job, skipped):
                shard.add(record)
                labels.append(record.label)
    except (RuntimeError, ValueError) as error:  # the format's library: a full disk, ..
        raise DelfError(f"{job.folder / name} cannot be written: {error}") from None
    entries = tuple(describe_file(path) for path in shard.files)
    refuse_short(place / name, job.format, len(labels))
    for entry in entries:
        (place / entry.name).replace(job.folder / entry.name)
    report = ShardReport(Shard(len(labels), entries), labels, skipped)
    write_text(job.note, json.dumps(asdict(report)))
    place.rmdir()
    return report


def read_pictures(
    job: ShardJob, skipped: list[tuple[str, str, str]]
) -> Iterator[Record]:
    """Yield the pictures that are there and decode; note the others in ``skipped``."""
    for picture in job.pictures:
        try:
            record = Record(
                Path(picture.path).read_bytes(), picture.label, picture.name
            )
            if job.check:
                check_record(record)
        except (OSError, ImageError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            reason = reason.removeprefix(f"{picture.name}: ")
            if job.strict:
                raise DelfError(
                    f"{picture.path}: {reason}; repair it or take it out, or leave out "
                    "--strict to skip and report it"
                ) from None
            skipped.append((picture.name, picture.path, reason))
            continue
        yield record


def refuse_short(path: Path, kind: str, records: int) -> None:
    """Raise DelfError unless a shard, read back, has what was written."""
    found = len(open_shard(path, kind))
    if found != records:
        raise DelfError(
            f"{path} reads back {found} of {records} records: is the disk full? "
            "Continue with --resume"
        )


def read_note(job: ShardJob) -> ShardReport | None:
    """Report of a shard that is finished and still there; None for one to be built."""
    try:
        note = json.loads(job.note.read_text(encoding="utf-8"))
        files = tuple(FileEntry(**entry) for entry in note["shard"]["files"])
        shard = Shard(note["shard"]["records"], files)
        skipped = [(name, path, reason) for name, path, reason in note["skipped"]]
        whole = all(
            (job.folder / file.name).stat().st_size == file.bytes for file in files
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ShardReport(shard, note["labels"], skipped) if whole else None
