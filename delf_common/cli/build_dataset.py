# SPDX-License-Identifier: Apache-2.0
"""``delf build-dataset``: pictures into shards for training."""

from __future__ import annotations

import sys

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.dataset.config import BuildConfig, BuildJob


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "build-dataset",
        "Build shards from Google Landmarks v2, or from any folder or CSV of labelled "
        "pictures, whose bytes are stored as they are, in a seeded shuffle of "
        "all. A missing or undecodable picture is reported and left out.",
        "delf build-dataset --train_clean_csv_path gldv2/train/train_clean.csv "
        "--output_directory shards/",
    )
    command.add_config(BuildConfig)
    command.add_config(BuildJob)
    return command


def run(options: Namespace) -> None:
    """Build, and say what there is."""
    from delf_common.dataset.build import build_dataset
    from delf_common.dataset.finishing import SKIPPED

    config = build(BuildConfig, options)
    manifest = build_dataset(config, build(BuildJob, options))
    for name, split in manifest.splits.items():
        print(  # noqa: T201
            f"{name}: {split.records} records of {split.classes} classes in "
            f"{len(split.shards)} shards"
        )
    if manifest.skipped:
        print(  # noqa: T201
            f"{manifest.skipped} pictures are missing or do not decode: "
            f"{config.output_directory}/{SKIPPED}",
            file=sys.stderr,
        )
