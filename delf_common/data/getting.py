# SPDX-License-Identifier: Apache-2.0
"""Get one part: fetch what is missing, verify it, note it, unpack it."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import requests

from delf_common import __version__
from delf_common.data.archives import DamagedArchive
from delf_common.data.checksums import algorithm_of, checksum_of, parse_md5
from delf_common.data.contents import describe_content
from delf_common.data.counting import Counted
from delf_common.data.partial import PartialFile
from delf_common.data.progress import Progress, in_units
from delf_common.data.record import Entry, Record
from delf_common.data.retrying import Patience, Stopped, persist
from delf_common.data.sources import Part
from delf_common.data.transfer import fetch_rest, fetch_small
from delf_common.data.unpacking import unpack
from delf_common.errors import DelfError

CHANGED_HINT = "; if the publisher has changed it, remove its entry from the record"
MOST_MISMATCHES = 2  # a file whose checksum is wrong is fetched once more, whole


@dataclass(frozen=True)
class Wishes:
    """What the caller wants beside the files.

    Args:
        extract: unpack archives.
        remove_archives: remove an archive once it is unpacked.
        allow_unverified: accept a file whose published checksum cannot be had.
        verify: read files that are noted as complete again.
        patience: with servers.
    """

    extract: bool = False
    remove_archives: bool = False
    allow_unverified: bool = False
    verify: bool = False
    patience: Patience = Patience()  # noqa: RUF009


class Getter:
    """Gets parts into one folder; one object for all threads.

    Args:
        folder: the output folder.
        record: of this folder.
        wishes: of the caller.
        progress: is told of every byte.
        stop: ends the work at the next chunk.
    """

    def __init__(
        self,
        folder: Path,
        record: Record,
        wishes: Wishes,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self.folder, self.record, self.wishes = folder, record, wishes
        self.progress, self.stop = progress, stop
        self._threads = threading.local()

    def session(self) -> requests.Session:
        """Return this thread's connection; proxies come from the environment."""
        if not hasattr(self._threads, "session"):
            self._threads.session = requests.Session()
            self._threads.session.headers["User-Agent"] = (
                f"delf-retrieval/{__version__}"
            )
        session: requests.Session = self._threads.session
        return session

    def get(self, part: Part) -> None:
        """Bring one part to the state that is wished; what is done stays done.

        Raises:
            DelfError: it failed for good.
            OSError: the disk.
            Stopped: the job is to end.
        """
        self.check_stop()
        path = self.folder / part.path
        counted = Counted(part, self.progress, self.stop)
        if not self.is_done(part, path):
            if not self.record.is_intact(part.name, path, thorough=self.wishes.verify):
                self.fetch(part, path, counted)
            if part.unpack and self.wishes.extract:
                self.unpack(part, path)
        counted.settle()
        self.progress.finish_part(self.describe(part))

    def is_done(self, part: Part, path: Path) -> bool:
        """Tell whether nothing is left to do, without a look at the archive's bytes."""
        entry = self.record.get(part.name)
        if entry is None or entry.unpacked is None:
            return False
        if path.exists() and self.wishes.verify:
            return False
        self.tidy(path)
        return True

    def tidy(self, path: Path) -> None:
        """Remove an unpacked archive, where that is wished."""
        if self.wishes.extract and self.wishes.remove_archives:
            path.unlink(missing_ok=True)

    def describe(self, part: Part) -> str:
        """Return the line that reports a part."""
        entry = self.record.get(part.name)
        if entry is None:
            return part.name
        state = "verified" if entry.published else "recorded"
        words = f"{part.name}: {in_units(entry.length)}, {state} {entry.checksum}"
        return words + (
            f", {entry.unpacked} files" if entry.unpacked is not None else ""
        )

    def expected(self, part: Part) -> tuple[str | None, bool]:
        """Return the checksum a file must have, if any, and whether it is published."""
        if part.checksum:
            return part.checksum, True
        entry = self.record.get(part.name)
        if part.md5_url is None:
            return (entry.checksum if entry else None), False
        if entry and entry.published:
            return entry.checksum, True
        try:
            return self.published_md5(part.md5_url), True
        except DelfError:
            if not self.wishes.allow_unverified:
                raise
            return (entry.checksum if entry else None), False

    def published_md5(self, url: str) -> str:
        """Fetch the published md5."""
        patience = self.wishes.patience
        try:
            content = persist(
                lambda: fetch_small(self.session(), url, patience.timeout),
                patience,
                self.stop,
                self.progress.say,
            )
        except DelfError as error:
            raise DelfError(
                f"no published checksum: {error}; without it: --allow_unverified"
            ) from None
        return parse_md5(content, url)

    def fetch(self, part: Part, path: Path, counted: Counted) -> None:
        """Fetch a file and note it; adopt one that is there and has the checksum."""
        expected, published = self.expected(part)
        if path.exists():
            self.adopt(part, path, expected, published=published)
            return
        with PartialFile(path, algorithm_of(expected)) as partial:
            counted.take_over(partial.length)
            for mismatch in range(1, MOST_MISMATCHES + 1):
                self.fetch_bytes(part, partial, counted, verified=published)
                found = partial.checksum.text()
                if expected in (None, found):
                    break
                counted.add(-partial.length)
                partial.discard()
                if mismatch == MOST_MISMATCHES:
                    raise self.mismatch(part, expected, found, published=published)
            self.accept(part, partial, published=published)

    def fetch_bytes(
        self, part: Part, partial: PartialFile, counted: Counted, *, verified: bool
    ) -> None:
        """Fetch until the announced length is there."""

        def announced(total: int) -> None:
            counted.set_total(total)
            free = shutil.disk_usage(self.folder).free
            if total - partial.length > free:
                raise OSError(
                    errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial.path)
                )

        def attempt() -> None:
            fetch_rest(
                self.session(),
                part,
                partial,
                self.wishes.patience.timeout,
                counted.add,
                announced,
                verified=verified,
            )

        persist(
            attempt,
            self.wishes.patience,
            self.stop,
            self.progress.say,
            lambda: partial.length,
        )

    def accept(self, part: Part, partial: PartialFile, *, published: bool) -> None:
        """Look into a complete file, then note it and give it its name."""
        partial.sync()
        try:
            content = describe_content(part, partial.path)
        except DelfError:
            partial.discard()
            raise
        modified = partial.path.stat().st_mtime_ns
        entry = Entry(
            part.url, partial.length, partial.checksum.text(), published, modified
        )
        self.record.set(part.name, entry)
        partial.finish()
        if content:
            self.progress.say(f"{part.name}: {content}")

    def adopt(
        self, part: Part, path: Path, expected: str | None, *, published: bool
    ) -> None:
        """Note a file that was there before, if it is the right one."""
        found = checksum_of(path, algorithm_of(expected)).text()
        if found != expected:
            why = f"has {found}, not {expected}" if expected else "is not in the record"
            raise DelfError(
                f"{path} {why}; move it away, and run the same command again"
            )
        state = path.stat()
        entry = Entry(part.url, state.st_size, found, published, state.st_mtime_ns)
        self.record.set(part.name, entry)

    def mismatch(
        self, part: Part, expected: str | None, found: str, *, published: bool
    ) -> DelfError:
        """Return the error for a file that came whole, but wrong, twice."""
        whose = "published" if published else "recorded at the first download"
        return DelfError(
            f"{part.url}: has {found}, but {expected} is {whose}; fetched "
            f"{MOST_MISMATCHES} times" + ("" if published else CHANGED_HINT)
        )

    def unpack(self, part: Part, path: Path) -> None:
        """Unpack a file that is noted as complete; note that too."""
        entry = self.record.get(part.name)
        if entry is None or part.unpack is None or entry.unpacked is not None:
            return
        try:
            count = unpack(part, path, self.folder / part.unpack, self.check_stop)
        except DamagedArchive as error:
            if entry.published:
                raise
            path.replace(path.with_name(f"{path.name}.damaged"))
            self.record.set(part.name, None)
            raise DelfError(f"{error}; kept as {path.name}.damaged") from None
        self.record.set(part.name, dataclasses.replace(entry, unpacked=count))
        self.tidy(path)

    def check_stop(self) -> None:
        """Raise Stopped when the job is to end."""
        if self.stop.is_set():
            raise Stopped
