# SPDX-License-Identifier: Apache-2.0
"""``delf export``: a checkpoint into a file that other runtimes run."""

from __future__ import annotations

from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import ExportConfig
from delf_common.errors import DelfError

WRITERS = {"onnx": "torch", "mindir": "ms"}  # which backend writes which format


def parser() -> CommandParser:
    """Flags of ``delf export``."""
    command = CommandParser(
        "export",
        "Write the network as an ONNX file with dynamic batch, height and width. It is "
        "compared with the framework at several sizes first; the differences are "
        "printed, and past the tolerance nothing is written.",
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
        default="onnx",
        help="of the file; onnx is written by PyTorch, mindir by MindSpore",
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
    backend = load_backend(WRITERS[options.format])
    if not hasattr(backend, "export"):
        raise DelfError(
            f"--format {options.format} is not part of this version; use --format onnx"
        )
    config = build(ExportConfig, options)
    differences = backend.export(options.weights, output, config)
    print(format_differences(differences))  # noqa: T201
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")  # noqa: T201
