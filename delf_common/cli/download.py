# SPDX-License-Identifier: Apache-2.0
"""``delf download``: data sets and weights, verified, resumed, repeated."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.errors import UsageError

DATASETS = ("gldv2", "oxford5k", "paris6k", "revisited", "pretrained")
MOST_JOBS = 32


@dataclass(frozen=True)
class DownloadOptions:
    """What to download, where to, and how.

    Args:
        output_directory: where to, none for a folder with the data set's name.
        splits: of GLDv2: train, index, test (archives and tables), csv (the four tables
            of train), ground_truth.
        first: lowest archive number of GLDv2's splits, none for 0.
        last: highest archive number of GLDv2's splits, none for all.
        only: names of single files, as --dry_run and failure reports give them.
        jobs: files at once.
        extract: unpack GLDv2's archives as they arrive; the small archives of the other
            data sets always are.
        remove_archives: remove every archive once it is unpacked.
        verify: read files that are complete already, and compare their checksums.
        allow_unverified: accept a file whose published checksum cannot be had.
        dry_run: list addresses and sizes; uses no network.
        mirror: fetch MIRROR/HOST/PATH in place of https://HOST/PATH, the layout that
            wget --mirror writes.
        tries: attempts in a row without a new byte before a file counts as failed.
        first_wait: seconds before a second attempt; doubled up to a minute.
        timeout: seconds without a byte after which a server counts as stalled.
    """

    output_directory: str | None = None
    splits: tuple[str, ...] = ("train", "csv")
    first: int | None = None
    last: int | None = None
    only: tuple[str, ...] = ()
    jobs: int = 4
    extract: bool = False
    remove_archives: bool = False
    verify: bool = False
    allow_unverified: bool = False
    dry_run: bool = False
    mirror: str | None = None
    tries: int = 8
    first_wait: float = 1.0
    timeout: float = 60.0


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "download",
        "Download a data set or weights. Every file is verified against the published "
        "checksum, or against the one recorded at the first download. Broken "
        "connections are resumed; the same command again fetches only what is missing. "
        "Proxies are taken from HTTPS_PROXY and HTTP_PROXY.",
        "delf download gldv2 --splits train,csv --first 0 --last 9 --extract "
        "--remove_archives",
    )
    command.add_argument("dataset", choices=DATASETS, help=", ".join(DATASETS))
    command.add_config(DownloadOptions)
    return command


def run(options: Namespace) -> None:
    """List, or download."""
    from delf_common.data.listing import count_images, list_parts
    from delf_common.data.plan import choose_parts

    chosen = build(DownloadOptions, options)
    check_options(chosen)
    folder = Path(chosen.output_directory or options.dataset)
    parts = choose_parts(
        options.dataset,
        splits=chosen.splits,
        first=chosen.first,
        last=chosen.last,
        only=chosen.only,
        mirror=chosen.mirror,
    )
    if chosen.dry_run:
        print(list_parts(parts, folder))  # noqa: T201
        return
    from delf_common.data.getting import Wishes
    from delf_common.data.job import download
    from delf_common.data.retrying import Patience

    wishes = Wishes(
        extract=chosen.extract or options.dataset != "gldv2",
        remove_archives=chosen.remove_archives,
        allow_unverified=chosen.allow_unverified,
        verify=chosen.verify,
        patience=Patience(
            tries=chosen.tries, first_wait=chosen.first_wait, timeout=chosen.timeout
        ),
    )
    download(
        parts,
        folder,
        wishes,
        chosen.jobs,
        lambda names: command_for(options.dataset, chosen, names),
    )
    print(f"{folder}: {len(parts)} files complete")  # noqa: T201
    if not chosen.only and (counted := count_images(options.dataset, folder)):
        print(counted)  # noqa: T201


def check_options(chosen: DownloadOptions) -> None:
    """Raise UsageError for values without sense."""
    if not 1 <= chosen.jobs <= MOST_JOBS:
        raise UsageError(f"--jobs {chosen.jobs}: choose 1 to {MOST_JOBS}")
    if chosen.tries < 1:
        raise UsageError(f"--tries {chosen.tries}: must be 1 or more")
    if not chosen.timeout > 0:
        raise UsageError(f"--timeout {chosen.timeout}: must be above 0 seconds")
    if not chosen.first_wait >= 0:
        raise UsageError(f"--first_wait {chosen.first_wait}: must be 0 or more seconds")
    if chosen.mirror and not chosen.mirror.startswith(("http://", "https://")):
        raise UsageError(
            f"--mirror {chosen.mirror}: must begin with https:// or http://"
        )


def command_for(dataset: str, chosen: DownloadOptions, names: Sequence[str]) -> str:
    """Return the shell command that repeats these files as they were asked for."""
    words = ["delf", "download", dataset]
    for field in dataclasses.fields(DownloadOptions):
        value = getattr(chosen, field.name)
        if field.name == "only":
            words += ["--only", ",".join(names)]
        elif field.name in ("splits", "first", "last") or value == field.default:
            continue
        elif value is True:
            words.append(f"--{field.name}")
        else:
            words += [f"--{field.name}", str(value)]
    return shlex.join(words)
