# SPDX-License-Identifier: Apache-2.0
"""The PCA as the original's three NumPy files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing
from delf_common.weights.metadata import Pca

FILES = ("mean.npy", "pca_proj_mat.npy", "pca_variances.npy")


def read_pca(folder: Path) -> Pca:
    """Read ``mean.npy`` (C,), ``pca_proj_mat.npy`` (D, C), ``pca_variances.npy`` (D,).

    More variances than components are cut, as the original's files may be.

    Raises:
        DelfError: a file is missing, not an array of numbers, or of another shape.
    """
    mean, components, variances = (_read(folder / name) for name in FILES)
    fits = (
        (mean.ndim, components.ndim, variances.ndim) == (1, 2, 1)
        and 1 <= len(components) <= len(mean) == components.shape[1]
        and len(components) <= len(variances)
    )
    if not fits:
        shapes = ", ".join(str(a.shape) for a in (mean, components, variances))
        raise DelfError(f"{folder}: {', '.join(FILES)} have shapes {shapes}; no PCA")
    pca = Pca(mean, components, variances[: len(components)])
    finite = all(np.isfinite(a).all() for a in (mean, components, pca.variances))
    if not finite or pca.variances.min() < 0:
        raise DelfError(
            f"{folder}: {', '.join(FILES)} hold NaN, infinity or a negative variance; "
            f"learn the PCA again with delf pca"
        )
    return pca


def write_pca(folder: Path, pca: Pca) -> None:
    """Write the three files, each beside its name and then renamed."""
    for name, array in zip(
        FILES, (pca.mean, pca.components, pca.variances), strict=True
    ):
        with replacing(folder / name) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)


def _read(path: Path) -> NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False)
        return np.asarray(array, np.float32)
    except FileNotFoundError:
        raise DelfError(f"{path} is missing; a PCA has {', '.join(FILES)}") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DelfError(f"{path} is not an array of numbers ({error})") from None
