# SPDX-License-Identifier: Apache-2.0
"""``delf index``: a folder of photographs, or a feature file, into an index."""

from __future__ import annotations

from pathlib import Path

from delf_common.cli.extract import add_inputs, add_job_options, make_job
from delf_common.cli.network import add_network_options
from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import CodesConfig


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "index",
        "Collect the features of photographs into one searchable file. Inputs are "
        "folders, photographs and list files, or one feature file of delf extract. "
        "--codes pq makes the search of millions of descriptors many times faster.",
        "delf index photographs/ --output places.index",
    )
    add_inputs(command)
    command.add_argument(
        "--output", type=str, required=True, help="the index, one HDF5 file"
    )
    command.add_argument(
        "--add",
        action="store_true",
        help="add what is new to an existing index, with the settings it was made with",
    )
    command.add_config(CodesConfig)
    add_job_options(command)
    add_network_options(command)
    return command


def run(options: Namespace) -> None:
    """Extract what the index lacks, write it, and say what it holds."""
    from delf_common.retrieval.building import build_index

    output = Path(options.output)
    summary = build_index(
        inputs=options.images,
        image_root=Path(options.image_root) if options.image_root else None,
        output=output,
        add=options.add,
        job=make_job(options, [], output),
        codes=build(CodesConfig, options),
    )
    print(summary)  # noqa: T201
