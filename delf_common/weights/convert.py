# SPDX-License-Identifier: Apache-2.0
"""Converts foreign weights into the canonical checkpoint, and says what went where."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.atomic import refuse_existing
from delf_common.weights import efficientnet, torchvision
from delf_common.weights.checkpoint import (
    METADATA_KEY,
    StoredType,
    load_checkpoint,
    read_safetensors,
    save_checkpoint,
)
from delf_common.weights.importing import Arrays, Imported
from delf_common.weights.keras_h5 import INFO as KERAS_INFO
from delf_common.weights.keras_h5 import import_keras, read_keras_h5
from delf_common.weights.metadata import WeightsInfo

HDF5_SUFFIXES = (".h5", ".hdf5")
TORCH_SUFFIXES = (".pth", ".pt", ".bin")
Importer = Callable[[Arrays], Imported]
STATE_DICTS: tuple[tuple[str, WeightsInfo, Importer], ...] = (
    (torchvision.SIGNATURE, torchvision.INFO, torchvision.import_torchvision),
    (efficientnet.SIGNATURE, efficientnet.INFO, efficientnet.import_efficientnet),
)


@dataclass(frozen=True)
class Conversion:
    """What became of every array of the source.

    Args:
        format: what the source was found to be.
        info: of the checkpoint that was written.
        placed: source name -> canonical name.
        unused: source name -> why it is not used.
    """

    format: str
    info: WeightsInfo
    placed: dict[str, str]
    unused: dict[str, str]

    def __str__(self) -> str:
        """One line for each source array, then the counts."""
        wide = max(map(len, [*self.placed, *self.unused]), default=0)
        lines = [f"{name:<{wide}}  ->  {self.placed[name]}" for name in self.placed]
        lines += [
            f"{name:<{wide}}  not used: {reason}"
            for name, reason in self.unused.items()
        ]
        variant = f" / {self.info.variant}" if self.info.variant else ""
        lines.append(
            f"{self.format} -> {self.info.architecture}{variant}: "
            f"{len(self.placed)} placed, {len(self.unused)} not used, "
            f"0 missing, 0 left over"
        )
        return "\n".join(lines)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    architecture: str | None = None,
    variant: str | None = None,
    block3_strides: bool | None = None,
    name: str | None = None,
    dtype: StoredType = "float32",
    overwrite: bool = False,
) -> Conversion:
    """Convert a weight file into a canonical checkpoint.

    Reads Keras' ResNet-50 .h5, torchvision's ResNet-50 and EfficientNet-Lite0 state
    dicts (.pth, which needs torch, or .safetensors), and canonical checkpoints (to
    change what they store). No file is ever unpickled beyond tensors.

    Args:
        source: the file; its kind is found from its contents.
        target: the .safetensors file to write.
        architecture: what the source must be; None accepts what is found.
        variant: likewise.
        block3_strides: whether the network subsamples block3; None leaves the source's
            own, or False.
        name: of the weights; None takes the target's file name.
        dtype: of the stored kernels.
        overwrite: replace an existing target.

    Returns:
        What went where; its `str` is made for printing.

    Raises:
        DelfError: the target exists; the source is of no known kind, or not of the kind
            demanded; or anything is missing or left over (all of it is listed).
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise DelfError(f"{target}: a checkpoint's name ends in .safetensors")
    refuse_existing(target, overwrite=overwrite)
    if not source.is_file():
        raise DelfError(f"{source}: there is no such file")
    kind, info, imported = import_weights(source)
    _check_demand(source, "architecture", architecture, info.architecture)
    _check_demand(source, "variant", variant, info.variant)
    strides = info.block3_strides if block3_strides is None else block3_strides
    info = dataclasses.replace(
        info, name=name or target.stem, block3_strides=strides, sha256=""
    )
    save_checkpoint(target, imported.params, info, dtype=dtype)
    return Conversion(kind, info, imported.placed, imported.unused)


def import_weights(source: Path) -> tuple[str, WeightsInfo, Imported]:
    """Read a weight file of any known kind: the kind's name, its info, the arrays.

    Raises:
        DelfError: the file is of no known kind, damaged, or does not fit its network.
    """
    if source.suffix in HDF5_SUFFIXES:
        imported = import_keras(read_keras_h5(source))
        return "Keras ResNet-50", _with_provenance(KERAS_INFO, source), imported
    if source.suffix == ".safetensors":
        arrays, metadata = read_safetensors(source)
        if METADATA_KEY in metadata:
            return _import_canonical(source)
    elif source.suffix in TORCH_SUFFIXES:
        arrays = _read_torch(source)
    else:
        raise DelfError(
            f"{source}: files ending in {source.suffix or 'nothing'} are not known; "
            f"known are .h5, .pth, .pt, .bin and .safetensors"
        )
    for signature, info, importer in STATE_DICTS:
        if signature in arrays:
            kind = f"{info.architecture} state dict"
            return kind, _with_provenance(info, source), importer(arrays)
    first = ", ".join(list(arrays)[:3])
    raise DelfError(
        f"{source} is no state dict of a known network (torchvision's ResNet-50, "
        f"EfficientNet-Lite0); its names begin with {first}"
    )


def _import_canonical(source: Path) -> tuple[str, WeightsInfo, Imported]:
    checkpoint = load_checkpoint(source)
    placed = {name: name for name in checkpoint.params}
    return "canonical", checkpoint.info, Imported(checkpoint.params, placed)


def _read_torch(source: Path) -> dict[str, NDArray[Any]]:
    """Read through delf_torch, which alone knows PyTorch's files."""
    if importlib.util.find_spec("torch") is None:
        raise DelfError(
            f"{source}: reading {source.suffix} needs torch, which is not installed; "
            f'install it with: pip install "delf-retrieval[torch]"'
        )
    reader = importlib.import_module("delf_torch.state_dict")
    arrays: dict[str, NDArray[Any]] = reader.read_state_dict(source)
    return arrays


def _with_provenance(info: WeightsInfo, source: Path) -> WeightsInfo:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    provenance = {"source": source.name, "source_sha256": digest}
    return dataclasses.replace(info, provenance=provenance)


def _check_demand(source: Path, field: str, wanted: str | None, found: str) -> None:
    if wanted is not None and wanted != found:
        raise DelfError(
            f"{source}: --{field} {wanted} was asked for, but the file's {field} "
            f"is {found or 'none: its architecture has only one'}"
        )
