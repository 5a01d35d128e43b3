# SPDX-License-Identifier: Apache-2.0
"""One shard from its pictures: written beside, read back, renamed, noted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from delf_common.dataset.array_records import ArrayRecordShard
from delf_common.dataset.manifest import BUILDING, FileEntry, Shard, describe_file
from delf_common.dataset.mindrecords import MindRecordShard
from delf_common.dataset.pictures import Picture, read_picture, refuse_or_skip
from delf_common.errors import DelfError, ImageError
from delf_common.io.atomic import write_text
from delf_common.training.shards import open_shard

WRITING = ".writing"  # how folders of half-written shards end


@dataclass(frozen=True)
class ShardJob:
    """All that a process needs to write a shard.

    Args:
        folder: where the shards go.
        split: "train" or "validation".
        names: of the files of all shards of this split, in order.
        number: which of them this is.
        pictures: in order.
        format: "array_record" or "mindrecord".
        check: decode every picture first.
        strict: raise at the first bad picture.
    """

    folder: Path
    split: str
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
    place = job.folder / BUILDING / f"{name}.{os.getpid()}{WRITING}"
    place.mkdir(parents=True)
    try:
        report = write_shard(job, place / name)
        for entry in report.shard.files:
            (place / entry.name).replace(job.folder / entry.name)
    except (RuntimeError, ValueError, OSError) as error:  # as a full disk
        raise DelfError(
            f"{job.folder / name} cannot be written: {reason_of(error)}; continue with "
            "--resume"
        ) from None
    finally:
        shutil.rmtree(place, ignore_errors=True)
    write_text(job.note, json.dumps(asdict(report)))
    return report


def write_shard(job: ShardJob, path: Path) -> ShardReport:
    """Write one shard to ``path``, read it back and count.

    Raises:
        DelfError: as `build_shard`.
        RuntimeError, ValueError, OSError: of the format's library.
    """
    labels: list[int] = []
    skipped: list[tuple[str, str, str]] = []
    with open_writer(job, path) as shard:
        for picture in job.pictures:
            try:
                shard.add(read_picture(picture, job.check))
            except ImageError as error:
                skipped.append(refuse_or_skip(picture, error, job.strict))
            else:
                labels.append(picture.label)
    refuse_short(path, job.format, len(labels))
    entries = tuple(describe_file(file) for file in shard.files)
    return ShardReport(Shard(len(labels), entries), labels, skipped)


def reason_of(error: Exception) -> str:
    """Say in a line what the format's library says in many."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    marked = [line for line in lines if line.startswith("[ERROR] ")]  # MindSpore's
    return (marked or lines)[0].removeprefix("[ERROR] ").split(";")[0]


def open_writer(job: ShardJob, path: Path) -> ArrayRecordShard | MindRecordShard:
    """Begin a shard in the job's format."""
    if job.format == "mindrecord":
        return MindRecordShard(path, job.names, job.number)
    return ArrayRecordShard(path)


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
