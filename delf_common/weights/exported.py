# SPDX-License-Identifier: Apache-2.0
"""What an exported file says of itself, as text properties that every runtime reads.

``delf`` is JSON: the fields of `WeightsInfo` but its PCA, the receptive field with its
layers, the file's form and stored type, and how far it was from the framework when it
was checked. ``delf.pca``, where there is a PCA, is its arrays as .safetensors, base64.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from delf_common.errors import DelfError
from delf_common.extraction.receptive_field import Layer, ReceptiveField
from delf_common.weights.metadata import Pca, WeightsInfo

KEY = "delf"
PCA_KEY = "delf.pca"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ExportedInfo:
    """What an exported file is.

    Args:
        info: of the weights it was made from; ``sha256`` is that checkpoint's.
        receptive_field: of the network.
        channels: width of a feature row.
        form: "maps", "keypoints" or "original".
        dtype: of the stored kernels, "float32" or "float16".
        canvases: (height, width) that levels must be laid on; () where any size runs.
        checks: one dictionary per compared output and size, see `Difference`.
    """

    info: WeightsInfo
    receptive_field: ReceptiveField
    channels: int
    form: str
    dtype: str
    canvases: tuple[tuple[int, int], ...] = ()
    checks: list[dict[str, Any]] = field(default_factory=list)


def to_properties(exported: ExportedInfo) -> dict[str, str]:
    """Text properties to put into a file; the same content gives the same text."""
    fields = dataclasses.asdict(exported)
    pca = exported.info.pca
    del fields["info"]["pca"]
    text = json.dumps(fields | {"format_version": FORMAT_VERSION}, sort_keys=True)
    if pca is None:
        return {KEY: text}
    parts = {
        field.name: np.ascontiguousarray(getattr(pca, field.name), np.float32)
        for field in dataclasses.fields(pca)
    }
    return {KEY: text, PCA_KEY: base64.b64encode(save(parts)).decode("ascii")}


def from_properties(properties: Mapping[str, str], name: str) -> ExportedInfo:
    """Read what `to_properties` wrote.

    Args:
        properties: of the file.
        name: of the file, for errors.

    Raises:
        DelfError: the file was not exported by ``delf export``, is damaged, or is of
            another version.
    """
    if KEY not in properties:
        raise DelfError(
            f"{name} was not written by delf export; make it from a checkpoint: "
            f"delf export {name} --weights CHECKPOINT"
        )
    try:
        fields = json.loads(properties[KEY])
        version = fields.pop("format_version")
        if version == FORMAT_VERSION:
            return _build(fields, _read_pca(properties.get(PCA_KEY)))
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        SafetensorError,
        binascii.Error,
    ) as error:
        raise DelfError(f"{name} has damaged metadata: {error}") from None
    raise DelfError(
        f"{name} has format version {version}, this program reads {FORMAT_VERSION}; "
        f"update it: pip install --upgrade delf-retrieval"
    )


def _build(fields: dict[str, Any], pca: Pca | None) -> ExportedInfo:
    area = fields.pop("receptive_field")
    layers = tuple(Layer(**layer) for layer in area.pop("layers"))
    info = WeightsInfo(pca=pca, **fields.pop("info"))
    fields["canvases"] = tuple((h, w) for h, w in fields.get("canvases", ()))
    return ExportedInfo(info, ReceptiveField(layers=layers, **area), **fields)


def _read_pca(text: str | None) -> Pca | None:
    if text is None:
        return None
    return Pca(**load(base64.b64decode(text, validate=True)))
