# SPDX-License-Identifier: Apache-2.0
"""From an exported file to a network that is ready to run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from delf_common.config import ExportConfig
from delf_common.errors import DelfError
from delf_common.training.config import TrainConfig
from delf_common.weights.differences import Difference
from delf_common.weights.exported import ExportedInfo, from_properties
from delf_common.weights.mindir import read_properties
from delf_mindir.network import MindirNetwork, Runtime


def load_network(weights: str | Path, device: str = "auto") -> MindirNetwork:
    """Load a file that ``delf export --format mindir --form maps`` wrote.

    Args:
        weights: path of the .mindir file.
        device: "cpu" is MindSpore's, "ascend:N" MindSpore Lite's, each the other's
            where it alone is installed; "auto" is an Ascend where Lite is installed.

    Raises:
        DelfError: the file is missing, damaged, or of another form.
        UsageError: there is no such device.
    """
    path = Path(weights)
    if path.suffix != ".mindir":
        raise DelfError(
            f"--weights {weights}: the mindir backend runs an exported file (.mindir); "
            f"where MindSpore is installed, make one with: "
            f"delf export model.mindir --format mindir --weights {weights}"
        )
    if not path.is_file():
        raise DelfError(f"--weights {weights}: no such file")
    exported = from_properties(read_properties(path.read_bytes(), str(path)), str(path))
    if exported.form != "maps":
        raise DelfError(
            f"{path} has the form {exported.form!r}, which other programs run; "
            f"export it again with --form maps"
        )
    return MindirNetwork(choose_runtime(path, device, exported), exported)


def choose_runtime(path: Path, device: str, exported: ExportedInfo) -> Runtime:
    """Open the file with MindSpore or MindSpore Lite; see `load_network`."""
    has_lite = importlib.util.find_spec("mindspore_lite") is not None
    has_mindspore = importlib.util.find_spec("mindspore") is not None
    if has_lite and not (device == "cpu" and has_mindspore):
        from delf_mindir.lite import LiteModel

        return LiteModel(path, device, exported.canvases)
    from delf_ms.environment import prepare_environment

    prepare_environment()
    from delf_ms.graph import Graph

    return Graph(path, device, dynamic=len(exported.canvases) != 1)


def export(weights: str | Path, output: Path, config: ExportConfig) -> list[Difference]:
    """Refuse: exporting takes a framework.

    Raises:
        DelfError: always.
    """
    raise DelfError("--backend mindir cannot export; use --backend ms")


def train(config: TrainConfig) -> Path:
    """Refuse: training takes a framework.

    Raises:
        DelfError: always.
    """
    raise DelfError("--backend mindir cannot train; use --backend ms")
