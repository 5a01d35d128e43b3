# SPDX-License-Identifier: Apache-2.0
"""``delf demo``: photographs to try the other commands on."""

from __future__ import annotations

from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "demo",
        "Write example photographs (scikit-image's, and views rendered from them) with "
        "their ground truth: homographies.json and gnd.json.",
        "delf demo demo && delf match demo/coffee.jpg demo/coffee_1.jpg "
        "--output match.png",
    )
    command.add_argument("folder", type=str, help="where to write the photographs")
    command.add_argument("--seed", type=int, default=0, help="of the rendered views")
    return command


def run(options: Namespace) -> None:
    """Write the photographs."""
    from delf_common.demo import write_demo

    names = write_demo(Path(options.folder), options.seed)
    print(f"{options.folder}: {len(names)} photographs, gnd.json")  # noqa: T201
