# SPDX-License-Identifier: Apache-2.0
"""``delf export``: a checkpoint into a file that other runtimes run."""

from __future__ import annotations

from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import WRITERS, ExportConfig


def parser() -> CommandParser:
    """Flags of ``delf export``."""
    command = CommandParser(
        "export",
        "Write the network as a file that other runtimes run, with dynamic batch, "
        "height and width: ONNX, or MindIR for Ascend. It is compared with the "
        "framework at several sizes first; the differences are printed, and past the "
        "tolerance nothing is written.",
        "delf export delf-lite0.onnx --weights delf-lite0",
    )
    command.add_argument("output", help="file to write")
    command.add_argument(
        "--weights",
        type=str,
        default="delf-lite0",
        help="name of embedded weights, or path of a canonical checkpoint",
    )
    command.add_argument(
        "--format",
        choices=list(WRITERS),
        default=None,
        help="of the file; onnx is written by PyTorch, mindir by MindSpore (default: "
        "what the output's name ends in)",
    )
    command.add_config(ExportConfig)
    command.add_argument(
        "--overwrite", action="store_true", help="replace the output if it exists"
    )
    return command


def run(options: Namespace) -> None:
    """Export, and print how far the file is from the framework."""
    from delf_common.backends import load_backend
    from delf_common.io.atomic import refuse_existing
    from delf_common.weights.differences import format_differences

    output = Path(options.output)
    refuse_existing(output, overwrite=options.overwrite)
    by_name = "mindir" if output.suffix == ".mindir" else "onnx"
    backend = load_backend(WRITERS[options.format or by_name])
    config = build(ExportConfig, options)
    differences = backend.export(options.weights, output, config)
    print(format_differences(differences))  # noqa: T201
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")  # noqa: T201
