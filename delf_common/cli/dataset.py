# SPDX-License-Identifier: Apache-2.0
"""``delf dataset inspect``: what a training set holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.errors import UsageError

DISTRIBUTION, CONTACT_SHEET = "images_per_class.png", "records.png"


@dataclass(frozen=True)
class InspectOptions:
    """What is looked at, and drawn.

    Args:
        output_directory: where the pictures go, none for no pictures.
        records: random records on the contact sheet.
        seed: of their choice.
        verify: read all bytes of built shards and compare their sha256.
        workers: threads that verify.
        overwrite: replace the pictures if they exist.
        json: print JSON.
    """

    output_directory: str | None = "inspection"
    records: int = 24
    seed: int = 0
    verify: bool = False
    workers: int = 2
    overwrite: bool = False
    json: bool = False


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "dataset",
        "inspect: count the records and classes of a training set, draw the images per "
        f"class ({DISTRIBUTION}) and random records with their labels "
        f"({CONTACT_SHEET}). The path is one that delf train takes: built shards "
        "(FOLDER, or FOLDER/validation), a folder of class folders, a CSV, GLDv2.",
        "delf dataset inspect shards/ --output_directory pictures/",
    )
    command.add_argument("action", choices=("inspect",), help="what to do")
    command.add_argument("path", type=str, help="the training set")
    command.add_config(InspectOptions)
    return command


def run(options: Namespace) -> None:
    """Count, draw, print."""
    from delf_common.dataset.inspecting import (
        class_names,
        count_images,
        format_summary,
        shards_of,
        summarise,
        summarise_shards,
        verify,
    )
    from delf_common.training.open_records import open_records

    chosen = build(InspectOptions, options)
    check_options(chosen)
    path = Path(options.path)
    source = open_records(path)
    built = shards_of(source)
    names = class_names(source, built[0] if built else None)
    summary = summarise(source, names)
    if built:
        summary["shards"] = summarise_shards(built[1])
    if chosen.verify:
        if not built:
            raise UsageError(f"--verify: {path} is not of built shards")
        summary["verified_files"] = verify(*built, chosen.workers)
    if chosen.output_directory is not None:
        from delf_common.dataset.drawing import draw_contact_sheet, draw_distribution
        from delf_common.io.atomic import refuse_existing
        from delf_common.matching.drawing import save_picture

        folder = Path(chosen.output_directory)
        pictures = [folder / DISTRIBUTION, folder / CONTACT_SHEET]
        for picture in pictures:
            refuse_existing(picture, overwrite=chosen.overwrite)
        draw_distribution(count_images(source), pictures[0])
        sheet = draw_contact_sheet(source, names, chosen.records, chosen.seed)
        save_picture(pictures[1], sheet)
        summary["pictures"] = [str(picture) for picture in pictures]
    print_summary(summary, format_summary(summary), chosen.json)


def print_summary(summary: dict[str, object], text: str, as_json: bool) -> None:
    """Print the counts, and what was verified and drawn."""
    if as_json:
        print(json.dumps(summary))  # noqa: T201
        return
    print(text)  # noqa: T201
    if "verified_files" in summary:
        print(f"{summary['verified_files']} files verified: whole")  # noqa: T201
    for picture in summary.get("pictures", []):  # type: ignore[attr-defined]
        print(picture)  # noqa: T201


def check_options(chosen: InspectOptions) -> None:
    """Raise UsageError for values without sense."""
    for name in ("records", "workers"):
        if getattr(chosen, name) < 1:
            raise UsageError(f"--{name} {getattr(chosen, name)}: must be 1 or more")
    if chosen.seed < 0:
        raise UsageError(f"--seed {chosen.seed}: must be 0 or more")
