# SPDX-License-Identifier: Apache-2.0
"""The canonical checkpoint: one .safetensors file with all that belongs to a network.

The tensors are the parameters under their canonical names, and ``pca.mean``,
``pca.components``, ``pca.variances`` where there is a PCA; a checkpoint of a training
run also has what its optimiser remembers, ``optimizer.*``. The metadata has one key,
``delf``, whose JSON carries the rest of `WeightsInfo`; one key, because safetensors
does not promise an order of several, and the same content must give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing
from delf_common.weights.metadata import Pca, TrainingState, WeightsInfo
from delf_common.weights.names import Params, check_params, parameter_shapes

FORMAT_VERSION = 1
METADATA_KEY = "delf"
EMBEDDED = Path(__file__).parent / "embedded"
OPTIMIZER = "optimizer."
TRAINING_KEY = "training"
PCA_PARTS = ("mean", "components", "variances")
StoredType = Literal["float32", "float16"]


@dataclass(frozen=True)
class Checkpoint:
    """A network's parameters and what they say of themselves.

    Args:
        params: canonical name -> float32 array, kernels OIHW.
        info: architecture, attention, recommended settings, provenance.
    """

    params: Params
    info: WeightsInfo


def embedded_names() -> list[str]:
    """Names of the weights that come with the package, sorted."""
    return sorted(path.stem for path in EMBEDDED.glob("*.safetensors"))


def find_weights(weights: str | Path) -> Path:
    """Path of a checkpoint, given as a path or as the name of embedded weights.

    Raises:
        DelfError: there is neither.
    """
    if str(weights) in embedded_names():
        return EMBEDDED / f"{weights}.safetensors"
    if Path(weights).is_file():
        return Path(weights)
    names = ", ".join(embedded_names())
    raise DelfError(
        f"weights {str(weights)!r}: no such file, and no embedded weights of this "
        f"name; embedded are: {names}"
    )


def load_checkpoint(weights: str | Path) -> Checkpoint:
    """Read and check a canonical checkpoint.

    Args:
        weights: path of a .safetensors file, or the name of embedded weights.

    Returns:
        Parameters as float32 whatever the file stores, and the info with the file's
        sha256.

    Raises:
        DelfError: no such file; not a canonical checkpoint; parameters missing, left
            over, misshapen or not finite (all of them are listed).
    """
    path = find_weights(weights)
    arrays, metadata = read_safetensors(path, lambda name: not _is_optimizer(name))
    if METADATA_KEY not in metadata:
        raise DelfError(
            f"{path} is not a canonical checkpoint; convert it first: "
            f"delf convert {path} {path.stem}-delf.safetensors"
        )
    pca = take_pca(arrays, path)
    digest = sha256_of(path)
    info = info_from_json(metadata[METADATA_KEY], path)
    info = dataclasses.replace(info, sha256=digest, pca=pca)
    params = {name: array.astype(np.float32) for name, array in arrays.items()}
    try:
        check_params(params, parameter_shapes(info))
    except DelfError as error:
        raise DelfError(f"{path}: {error}") from None
    return Checkpoint(params, info)


def save_checkpoint(
    path: str | Path,
    params: Params,
    info: WeightsInfo,
    *,
    dtype: StoredType = "float32",
    state: TrainingState | None = None,
) -> None:
    """Write a canonical checkpoint; the same content gives the same bytes.

    Args:
        path: the .safetensors file, replaced if it exists.
        params: canonical name -> array, kernels OIHW.
        info: written into the metadata, all but ``sha256``.
        dtype: "float16" halves the kernels; vectors and the PCA stay float32, since
            variances can pass float16's range and together weigh next to nothing.
        state: of the training run, always float32; None for weights to use.

    Raises:
        DelfError: the parameters do not fit the architecture.
    """
    check_params(params, parameter_shapes(info))
    stored: dict[str, NDArray[Any]] = {}
    for name in sorted(params):
        kind = dtype if params[name].ndim > 1 else "float32"
        with np.errstate(over="ignore"):  # checked in the next line
            stored[name] = np.ascontiguousarray(params[name], np.dtype(kind))
        if not np.isfinite(stored[name]).all():
            raise DelfError(f"{name} does not fit {dtype}; use --dtype float32")
    if info.pca is not None:
        for part in PCA_PARTS:
            array = getattr(info.pca, part)
            stored[f"pca.{part}"] = np.ascontiguousarray(array, np.float32)
    if state is not None:
        for name, array in sorted(state.optimizer.items()):
            stored[OPTIMIZER + name] = np.ascontiguousarray(array, np.float32)
    with replacing(Path(path)) as temporary:
        # Not save_file: it leaves a file that only its owner may read.
        temporary.write_bytes(save(stored, {METADATA_KEY: info_to_json(info, state)}))


def load_training_state(path: str | Path) -> TrainingState | None:
    """Read what a training run left in its checkpoint; None where there is nothing.

    Raises:
        DelfError: the file is missing or damaged.
    """
    path = find_weights(path)
    arrays, metadata = read_safetensors(path, _is_optimizer)
    try:
        fields = json.loads(metadata[METADATA_KEY]).get(TRAINING_KEY)
    except (KeyError, ValueError, AttributeError) as error:
        raise DelfError(f"{path} has damaged metadata: {error}") from None
    if fields is None:
        return None
    optimizer = {name.removeprefix(OPTIMIZER): arrays[name] for name in arrays}
    return TrainingState(optimizer=optimizer, **fields)


def _is_optimizer(name: str) -> bool:
    return name.startswith(OPTIMIZER)


def sha256_of(path: Path) -> str:
    """Digest of a file, hexadecimal, in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_safetensors(
    path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read the wanted arrays of a .safetensors file, and its metadata.

    Raises:
        DelfError: the file is damaged, or has a type that NumPy does not know.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = filter(wanted, file.keys())
            arrays = {name: file.get_tensor(name) for name in names}
            return arrays, dict(file.metadata() or {})
    except (SafetensorError, TypeError, AttributeError) as error:
        raise DelfError(
            f"{path} is not a readable .safetensors file: {error}"
        ) from None


def info_to_json(info: WeightsInfo, state: TrainingState | None = None) -> str:
    """Write all that an info says, but the arrays of its PCA, as one line of JSON."""
    fields = {
        field.name: getattr(info, field.name)
        for field in dataclasses.fields(info)
        if field.name not in ("sha256", "pca")
    }
    fields["format_version"] = FORMAT_VERSION
    if state is not None:
        training = dataclasses.asdict(dataclasses.replace(state, optimizer={}))
        del training["optimizer"]
        fields[TRAINING_KEY] = training
    return json.dumps(fields, sort_keys=True, ensure_ascii=False)


def info_from_json(text: str, path: Path) -> WeightsInfo:
    """Read what `info_to_json` wrote.

    Raises:
        DelfError: the text is damaged, or of a newer version.
    """
    try:
        fields = json.loads(text)
        version = fields.pop("format_version")
        fields.pop(TRAINING_KEY, None)
        if version == FORMAT_VERSION:
            return WeightsInfo(sha256="", **fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DelfError(f"{path} has damaged metadata: {error}") from None
    raise DelfError(
        f"{path} has format version {version}, this program reads {FORMAT_VERSION}; "
        f"update it: pip install --upgrade delf-retrieval"
    )


def take_pca(arrays: dict[str, NDArray[Any]], path: Path) -> Pca | None:
    """Remove the PCA's arrays from the others; None when there are none.

    Raises:
        DelfError: only some of them are there.
    """
    names = [name for name in arrays if name.startswith("pca.")]
    if not names:
        return None
    parts = {name[4:]: arrays.pop(name).astype(np.float32) for name in names}
    if sorted(parts) != sorted(PCA_PARTS):
        raise DelfError(f"{path} has an incomplete PCA: {', '.join(sorted(names))}")
    return Pca(**parts)
