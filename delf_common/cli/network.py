# SPDX-License-Identifier: Apache-2.0
"""What the commands that run the network share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from delf_common.cli.parsing import CommandParser, Namespace, NetworkOptions, build
from delf_common.config import ExtractConfig
from delf_common.errors import UsageError

if TYPE_CHECKING:
    from delf_common.extraction.extractor import Extractor
    from delf_common.weights.metadata import Pca


def add_network_options(parser: CommandParser, exported: bool = False) -> None:
    """Add backend, device, weights, the extraction settings and ``--pca``.

    Args:
        parser: of the command.
        exported: leave backend and weights out, which an exported file decides.
    """
    parser.add_config(NetworkOptions, ("backend", "weights") if exported else ())
    parser.add_config(ExtractConfig)
    parser.add_argument(
        "--pca",
        type=str,
        default=None,
        help="folder with mean.npy, pca_proj_mat.npy, pca_variances.npy to use",
    )


def load_pca(options: Namespace) -> Pca | None:
    """Read the folder of ``--pca``, if one was given."""
    from delf_common.io.pca_files import read_pca

    return read_pca(Path(options.pca)) if options.pca else None


def load_extractor(options: Namespace) -> Extractor:
    """Load the network and the settings of the command line.

    Raises:
        UsageError: several devices, where the command runs on one.
    """
    from delf_common.backends import load_backend
    from delf_common.extraction.extractor import Extractor

    chosen = build(NetworkOptions, options)
    if "," in chosen.device:
        raise UsageError(f"--device {chosen.device}: this command runs on one device")
    network = load_backend(chosen.backend).load_network(chosen.weights, chosen.device)
    config = build(ExtractConfig, options)
    return Extractor(network, config, load_pca(options), options.given)
