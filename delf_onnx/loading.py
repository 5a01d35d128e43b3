# SPDX-License-Identifier: Apache-2.0
"""From an exported file to a network that is ready to run."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from delf_common.config import ExportConfig
from delf_common.errors import DelfError
from delf_common.training.config import TrainConfig
from delf_common.weights.differences import Difference
from delf_common.weights.exported import ExportedInfo, from_properties
from delf_onnx.network import OnnxNetwork
from delf_onnx.session import open_session


def load_network(weights: str | Path, device: str = "auto") -> OnnxNetwork:
    """Load a file that ``delf export --format onnx --form maps`` wrote.

    Args:
        weights: path of the .onnx file.
        device: "auto", "cpu", "cuda:N".

    Raises:
        DelfError: the file is missing, damaged, or of another form.
        UsageError: there is no such device.
    """
    path = Path(weights)
    if path.suffix != ".onnx":
        raise DelfError(
            f"--weights {weights}: the onnx backend runs an exported file (.onnx); "
            f"where torch is installed, make one with: "
            f"delf export model.onnx --weights {weights}"
        )
    if not path.is_file():
        raise DelfError(f"--weights {weights}: no such file")
    return load_model(path.read_bytes(), device, str(path))


def load_model(model: bytes, device: str, name: str) -> OnnxNetwork:
    """Load the content of an exported file; see `load_network`."""
    session = open_session(model, device, name)
    properties = session.get_modelmeta().custom_metadata_map
    exported = from_properties(properties, name)
    if exported.form != "maps":
        raise DelfError(
            f"{name} has the form {exported.form!r}, which leaves no choice of "
            f"keypoints; export it again with --form maps"
        )
    return OnnxNetwork(session, with_digest(exported, model))


def with_digest(exported: ExportedInfo, model: bytes) -> ExportedInfo:
    """Give rounded kernels their own digest; exact ones keep their checkpoint's.

    An index says by a digest which weights made it, and features of exact kernels may
    be searched for with any backend.
    """
    if exported.dtype == "float32":
        return exported
    digest = hashlib.sha256(model).hexdigest()
    return dataclasses.replace(
        exported, info=dataclasses.replace(exported.info, sha256=digest)
    )


def export(weights: str | Path, output: Path, config: ExportConfig) -> list[Difference]:
    """Refuse: exporting takes a framework.

    Raises:
        DelfError: always.
    """
    raise DelfError("--backend onnx cannot export; use --backend torch")


def train(config: TrainConfig) -> Path:
    """Refuse: training takes a framework.

    Raises:
        DelfError: always.
    """
    raise DelfError("--backend onnx cannot train; use --backend torch")
