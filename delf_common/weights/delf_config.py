# SPDX-License-Identifier: Apache-2.0
"""Reads what TensorFlow's DELF publishes beside its weights.

``delf_config*.pbtxt`` has the scales, thresholds and sizes; ``mean.datum``,
``pca_proj_mat.datum`` and ``pca_variances.datum`` are the PCA (delf_spec.md E.3, E.5).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.delf_proto import read_datum
from delf_common.io.pca_files import FILES, read_pca
from delf_common.io.text_proto import Message, parse_text_proto
from delf_common.weights.metadata import Pca, WeightsInfo

DATUM_FILES = ("mean.datum", "pca_proj_mat.datum", "pca_variances.datum")
_PATHS = ("mean_path", "projection_matrix_path", "pca_variances_path")
_SIZES = ("max_image_size", "min_image_size")


@dataclasses.dataclass(frozen=True)
class DelfConfig:
    """What a ``delf_config*.pbtxt`` says.

    Args:
        extraction: settings by their names in `delf_common.config.ExtractConfig`.
        score_threshold: None where the file has none.
        pca_paths: of mean, matrix and variances, as the file has them; "" for none.
    """

    extraction: dict[str, Any]
    score_threshold: float | None
    pca_paths: tuple[str, str, str]


def read_delf_config(path: str | Path) -> DelfConfig:
    """Read a ``delf_config*.pbtxt``.

    Raises:
        DelfError: the file is missing or no text message, or a value is no number.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        message = parse_text_proto(text)
        return _config(message)
    except (OSError, UnicodeDecodeError) as error:
        raise DelfError(f"{path} cannot be read: {error}") from None
    except (DelfError, ValueError, TypeError) as error:
        raise DelfError(f"{path} is no delf_config: {error}") from None


def read_datum_pca(mean: Path, matrix: Path, variances: Path | None) -> Pca:
    """Read a PCA from TensorFlow's three files.

    Args:
        mean: (C,) or (1, C).
        matrix: (D, C), one component a row.
        variances: D or more values; None where none were published, and all are 1.

    Raises:
        DelfError: a file is missing or damaged, or the shapes do not fit.
    """
    middle = read_datum(mean).ravel()
    components = read_datum(matrix)
    spread: NDArray[Any] = np.ones(len(components), np.float32)
    if variances is not None:
        spread = read_datum(variances).ravel()
    fits = components.ndim == 2 and components.shape[1] == len(middle)
    if not fits or not 1 <= len(components) <= len(spread):
        raise DelfError(
            f"{mean}, {matrix}: shapes {middle.shape}, {components.shape} and "
            f"{spread.shape} make no PCA"
        )
    if not all(np.isfinite(a).all() for a in (middle, components, spread)):
        raise DelfError(f"{matrix}: the PCA holds NaN or infinity")
    spread = spread[: len(components)]
    parts = [a.astype(np.float32) for a in (middle, components, spread)]
    return Pca(parts[0], parts[1], parts[2])


def read_any_pca(folder: str | Path) -> Pca:
    """Read a PCA from a folder of ``.datum`` or of ``.npy`` files.

    Raises:
        DelfError: there is neither, or it is damaged.
    """
    folder = Path(folder)
    mean, matrix, variances = (folder / name for name in DATUM_FILES)
    if mean.is_file():
        known = variances if variances.is_file() else None
        return read_datum_pca(mean, matrix, known)
    if (folder / FILES[0]).is_file():
        return read_pca(folder)
    raise DelfError(
        f"{folder} has no PCA: neither {', '.join(DATUM_FILES)} nor {', '.join(FILES)}"
    )


def with_config(info: WeightsInfo, config: DelfConfig) -> WeightsInfo:
    """Put a configuration's settings into the info, and cut the PCA to its width."""
    pca, kept = info.pca, config.extraction.get("pca_dim")
    if pca is not None and kept is not None:
        if not 0 < kept <= len(pca.components):
            raise DelfError(
                f"pca_dim {kept} is not between 1 and the PCA's {len(pca.components)}"
            )
        pca = Pca(pca.mean, pca.components[:kept], pca.variances[:kept])
    threshold = config.score_threshold
    return dataclasses.replace(
        info,
        pca=pca,
        extraction=config.extraction,
        score_threshold=info.score_threshold if threshold is None else threshold,
    )


def _config(message: Message) -> DelfConfig:
    local = _inner(message, "delf_local_config")
    pca = _inner(local, "pca_parameters")
    settings: dict[str, Any] = {}
    if "image_scales" in message:
        scales = [_number(value) for value in message["image_scales"]]
        settings["image_scales"] = scales
    for name in _SIZES:
        if name in message and (side := int(_number(message[name][-1]))) > 0:
            settings[name] = side
    for where, name in (
        (message, "use_square_images"),
        (local, "use_pca"),
        (pca, "use_whitening"),
    ):
        if name in where:
            settings[name] = bool(where[name][-1])
    if "iou_threshold" in local:
        settings["iou_threshold"] = _number(local["iou_threshold"][-1])
    if "max_feature_num" in local:
        settings["max_feature_num"] = int(_number(local["max_feature_num"][-1]))
    if "pca_dim" in pca:
        settings["pca_dim"] = int(_number(pca["pca_dim"][-1]))
    score = local.get("score_threshold", [None])[-1]
    mean, matrix, variances = (str(pca.get(name, [""])[-1]) for name in _PATHS)
    threshold = None if score is None else _number(score)
    return DelfConfig(settings, threshold, (mean, matrix, variances))


def _inner(message: Message, name: str) -> Message:
    value = message.get(name, [{}])[-1]
    if not isinstance(value, dict):
        raise DelfError(f"{name} is no message")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, float):
        raise DelfError(f"{value!r} is no number")
    return value
