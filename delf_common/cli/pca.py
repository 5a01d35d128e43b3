# SPDX-License-Identifier: Apache-2.0
"""``delf pca``: learn the projection of descriptors."""

from __future__ import annotations

from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace
from delf_common.errors import UsageError


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "pca",
        "Learn a PCA from features that were extracted with --use_pca false, in "
        "bounded memory, and save mean.npy, pca_proj_mat.npy, pca_variances.npy.",
        "delf pca --features unprojected.h5 --output pca/ --pca_dim 40",
    )
    command.add_argument(
        "--features", nargs="+", required=True, help="feature files of delf extract"
    )
    command.add_argument("--output", type=str, required=True, help="folder to write")
    command.add_argument(
        "--pca_dim", type=int, default=None, help="components kept (default: all)"
    )
    command.add_argument(
        "--checkpoint",
        type=str,
        default=None,
        help="also write a copy of these weights (name or path) with the PCA inside",
    )
    command.add_argument(
        "--checkpoint_output", type=str, default=None, help="path of that copy"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace the output if it exists"
    )
    return command


def run(options: Namespace) -> None:
    """Learn, print the explained variance, save."""
    from delf_common.extraction.learning import learn_pca, put_pca
    from delf_common.io.atomic import refuse_existing
    from delf_common.io.pca_files import write_pca

    if bool(options.checkpoint) != bool(options.checkpoint_output):
        raise UsageError("--checkpoint and --checkpoint_output go together")
    folder = Path(options.output)
    refuse_existing(folder / "mean.npy", overwrite=options.overwrite)
    if options.checkpoint:
        refuse_existing(Path(options.checkpoint_output), overwrite=options.overwrite)
    files = [Path(name) for name in options.features]
    pca, explained, count = learn_pca(files, options.pca_dim)
    write_pca(folder, pca)
    print(f"{folder}: PCA of {count} descriptors")  # noqa: T201
    marks = sorted({1, 2, 4, 8, 16, 32, 40, 64, 128, 256, len(pca.components)})
    for dimension in marks:
        if dimension <= len(pca.components):
            share = explained[dimension - 1]
            print(f"{dimension:5d} components explain {share:.4f}")  # noqa: T201
    if options.checkpoint:
        put_pca(options.checkpoint, Path(options.checkpoint_output), pca)
        print(f"{options.checkpoint_output}: weights with the PCA")  # noqa: T201
