# SPDX-License-Identifier: Apache-2.0
"""``delf train``: one stage of training."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.errors import UsageError
from delf_common.training.config import TrainConfig, settings_text
from delf_common.training.processes import is_first

CONFIG_FLAGS = ("--config", "--config_path")  # the second is the model zoo's


class TrainParser(CommandParser):
    """Also reads the model zoo's YAML, whose further documents are help texts."""

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Parse; see `CommandParser.parse`."""
        pieces = list(arguments)
        for i, piece in enumerate(pieces):
            flag, equals, value = piece.partition("=")
            if flag not in CONFIG_FLAGS:
                continue
            if equals:
                pieces[i] = f"--config={first_document(value)}"
            elif i + 1 < len(pieces):
                pieces[i : i + 2] = ["--config", first_document(pieces[i + 1])]
        return super().parse(pieces)


def first_document(path: str) -> str:
    """Return the first document of a YAML file, or the path where there is only one.

    Raises:
        UsageError: there is no such file.
    """
    if not Path(path).is_file():
        raise UsageError(f"--config {path}: there is no such file")
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    marks = [i for i, line in enumerate(lines) if line.rstrip() == "---"]
    inner = [i for i in marks if any(line.strip() for line in lines[:i])]
    begin = marks[0] + 1 if marks and marks[0] not in inner else 0
    return "\n".join(lines[begin : inner[0]]) if inner else path


def parser() -> CommandParser:
    """Describe the command line."""
    command = TrainParser(
        "train",
        "Train one stage: tuning (backbone and classifier), then attn (attention). "
        "With several devices: torchrun --nproc_per_node N -m delf_common.cli.main "
        "train ...",
        "delf train --train_state tuning --traindata_path photographs/ "
        "--max_iters 1000 --save_ckpt ckpt/",
    )
    command.add_argument(
        "--backend", type=str, default="torch", help='"torch" or "ms" (MindSpore)'
    )
    command.add_config(TrainConfig)
    return command


def run(options: Namespace) -> None:
    """Train, and print the path of the last checkpoint."""
    from delf_common.backends import load_backend

    config = build(TrainConfig, options)
    first = is_first()
    show_log(logging.INFO if first else logging.WARNING)
    if first:
        print(settings_text(config), end="", file=sys.stderr)  # noqa: T201
    checkpoint = load_backend(options.backend).train(config)
    if first:
        print(checkpoint)  # noqa: T201


def show_log(level: int) -> None:
    """Send this package's log to standard error, and no other library's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    package = logging.getLogger("delf_common")
    package.handlers[:] = [handler]  # once, however often a process calls this
    package.setLevel(level)
    package.propagate = False
    logging.getLogger("absl").setLevel(logging.ERROR)  # grain looks for JAX
