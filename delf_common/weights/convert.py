# SPDX-License-Identifier: Apache-2.0
"""Converts weights between all known formats, and says what went where."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delf_common.errors import DelfError, UsageError
from delf_common.io.atomic import refuse_existing
from delf_common.weights.checkpoint import (
    METADATA_KEY,
    StoredType,
    info_from_json,
    load_checkpoint,
    read_safetensors,
    take_pca,
)
from delf_common.weights.delf_config import (
    DelfConfig,
    read_any_pca,
    read_datum_pca,
    read_delf_config,
    with_config,
)
from delf_common.weights.importing import Imported
from delf_common.weights.metadata import Pca, WeightsInfo
from delf_common.weights.mindspore import swap_kernels
from delf_common.weights.schemes import find_scheme, import_with
from delf_common.weights.sources import read_source, source_path
from delf_common.weights.targets import check_target, write_weights

MINDSPORE = "MindSpore DELF"
STRIDES_ASSUMED = ("TF2 DELF", MINDSPORE)


@dataclass(frozen=True)
class Conversion:
    """What became of every array of the source.

    Args:
        format: what the source was found to be.
        info: of the checkpoint that was written.
        placed: source name -> canonical name.
        unused: source name -> why it is not used.
        notes: what the files did not say and was assumed.
    """

    format: str
    info: WeightsInfo
    placed: dict[str, str]
    unused: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line for each source array, then the counts."""
        wide = max(map(len, [*self.placed, *self.unused]), default=0)
        lines = [f"{name:<{wide}}  ->  {self.placed[name]}" for name in self.placed]
        lines += [
            f"{name:<{wide}}  not used: {reason}"
            for name, reason in self.unused.items()
        ]
        lines += [f"note: {note}" for note in self.notes]
        variant = f" / {self.info.variant}" if self.info.variant else ""
        lines.append(
            f"{self.format} -> {self.info.architecture}{variant}: "
            f"{len(self.placed)} placed, {len(self.unused)} not used, "
            f"0 missing, 0 left over"
        )
        return "\n".join(lines)


def convert(
    source: Any,
    target: str | Path,
    *,
    architecture: str | None = None,
    variant: str | None = None,
    block3_strides: bool | None = None,
    name: str | None = None,
    dtype: StoredType = "float32",
    pca: str | Path | None = None,
    delf_config: str | Path | None = None,
    swapped_kernels: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Convert weights of any readable format into any writable one.

    Reads the official TF1-slim DELF, TF2 DELF and DELG (variables, SavedModels, frozen
    graphs), the MindSpore DELF's .ckpt, Keras' ResNet-50 .h5, torchvision's ResNet-50
    and EfficientNet-Lite0 state dicts, and everything that it writes: .safetensors,
    .pth, .ckpt, .h5. No file is ever executed, none unpickled beyond tensors.

    Args:
        source: file or folder, whose kind is found from its contents; or torchvision's
            weights: the object, or "torchvision:ResNet50_Weights.IMAGENET1K_V2".
        target: its ending names the format; .safetensors is the canonical checkpoint.
        architecture: what the source must be; None accepts what is found.
        variant: likewise; also says it where canonical names alone do not.
        block3_strides: whether the network subsamples block3; None leaves the source's
            own, or what such files are known to have.
        name: of the weights; None takes the target's file name.
        dtype: of the stored kernels.
        pca: folder with the PCA's .datum or .npy files, to put into the checkpoint.
        delf_config: TensorFlow's delf_config*.pbtxt, whose settings go into the
            checkpoint, and the PCA that it names where the files are found.
        swapped_kernels: the MindSpore .ckpt, source or target, has height and width of
            the 3x3 kernels exchanged, as the original's converter of the .h5 wrote it.
            Weights that were trained on after that conversion fit as they are.
        overwrite: replace an existing target.

    Returns:
        What went where; its `str` is made for printing.

    Raises:
        DelfError: the target exists; the source is of no known kind, or not of the kind
            demanded; or anything is missing or left over (all of it is listed).
    """
    source, target = source_path(source), Path(target)
    check_target(target, dtype)
    refuse_existing(target, overwrite=overwrite)
    kind, info, imported = import_weights(source, variant)
    _check_demand(source, "architecture", architecture, info.architecture)
    _check_demand(source, "variant", variant, info.variant)
    swap_source = swapped_kernels and kind.startswith(MINDSPORE)
    if swap_source:
        imported = dataclasses.replace(imported, params=swap_kernels(imported.params))
    elif swapped_kernels and target.suffix != ".ckpt":
        raise UsageError(
            f"--swapped_kernels: neither {source} nor {target} is a .ckpt of the "
            f"MindSpore DELF; leave it out"
        )
    strides = info.block3_strides if block3_strides is None else block3_strides
    info = dataclasses.replace(
        info, name=name or target.stem, block3_strides=strides, sha256=""
    )
    info = _with_published(info, source, pca, delf_config)
    write_weights(
        target,
        imported.params,
        info,
        dtype=dtype,
        swapped_kernels=swapped_kernels and not swap_source,
    )
    notes = []
    if kind in STRIDES_ASSUMED and block3_strides is None:
        notes.append(
            "block3_strides is true, as in training; the file does not say it "
            "(--block3_strides false for weights exported without)"
        )
    return Conversion(kind, info, imported.placed, imported.unused, notes)


def import_weights(
    source: Path, variant: str | None = None
) -> tuple[str, WeightsInfo, Imported]:
    """Read weights of any known kind: the kind's name, their info, the arrays.

    Args:
        source: file or folder.
        variant: of ResNet-50, for canonical names in a file that does not say it.

    Raises:
        DelfError: the file is of no known kind, damaged, or does not fit its network.
    """
    if source.suffix == ".safetensors" and source.is_file():
        if METADATA_KEY in read_safetensors(source, lambda name: False)[1]:
            return _import_canonical(source)
    found = read_source(source)
    own = info_from_json(found.info, source) if found.info else None
    pca = take_pca(found.arrays, source)
    scheme = find_scheme(found.arrays, own.variant if own else variant)
    if scheme is None:
        first = ", ".join(list(found.arrays)[:3])
        raise DelfError(
            f"{source} is no network that is known (torchvision's or Keras' ResNet-50, "
            f"EfficientNet-Lite0, DELF of TensorFlow or MindSpore); its names begin "
            f"with {first}"
        )
    info, imported = import_with(scheme, found.arrays, own)
    if own is None:
        provenance = {"source": source.name, "source_sha256": found.digest()}
        info = dataclasses.replace(info, provenance=provenance)
    kind = f"{scheme.kind}, by delf convert" if own else scheme.kind
    return kind, dataclasses.replace(info, pca=pca), imported


def _import_canonical(source: Path) -> tuple[str, WeightsInfo, Imported]:
    checkpoint = load_checkpoint(source)
    placed = {name: name for name in checkpoint.params}
    return "canonical", checkpoint.info, Imported(checkpoint.params, placed)


def _with_published(
    info: WeightsInfo,
    source: Path,
    pca: str | Path | None,
    delf_config: str | Path | None,
) -> WeightsInfo:
    """Put the PCA and the settings in that were published beside the weights."""
    if pca is not None:
        info = dataclasses.replace(info, pca=read_any_pca(pca))
    if delf_config is None:
        return info
    config = read_delf_config(delf_config)
    if pca is None and config.extraction.get("use_pca", True) and config.pca_paths[0]:
        learned = _find_pca(config, source, Path(delf_config).parent)
        info = dataclasses.replace(info, pca=learned)
    return with_config(info, config)


def _find_pca(config: DelfConfig, source: Path, folder: Path) -> Pca:
    """Read the PCA that a configuration names, whose paths are its author's.

    Raises:
        DelfError: mean or matrix are not found; the places are listed.
    """
    places = [Path(), folder, source, source / "pca", source.parent / "pca"]

    def find(text: str) -> Path | None:
        tried = [place / text for place in places[:2] if text]
        tried += [place / Path(text).name for place in places[1:] if text]
        return next((path for path in tried if path.is_file()), None)

    mean, matrix, variances = map(find, config.pca_paths)
    if mean is None or matrix is None:
        where = ", ".join(str(place) for place in places)
        raise DelfError(
            f"the PCA {config.pca_paths[0]}, {config.pca_paths[1]} is not found in "
            f"{where}; give its folder with --pca"
        )
    return read_datum_pca(mean, matrix, variances)


def _check_demand(source: Path, field: str, wanted: str | None, found: str) -> None:
    if wanted is not None and wanted != found:
        raise DelfError(
            f"{source}: --{field} {wanted} was asked for, but the file's {field} "
            f"is {found or 'none: its architecture has only one'}"
        )
