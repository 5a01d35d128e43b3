# SPDX-License-Identifier: Apache-2.0
"""Reads weight files of every known kind as plain arrays; no file is ever executed."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.text_proto import parse_text_proto
from delf_common.weights import slim, tf2
from delf_common.weights.checkpoint import METADATA_KEY, read_safetensors
from delf_common.weights.importing import Target
from delf_common.weights.keras_h5 import read_h5_info, read_keras_h5
from delf_common.weights.mindspore_ckpt import read_ckpt
from delf_common.weights.tf_bundle import Bundle
from delf_common.weights.tf_graph import read_frozen
from delf_common.weights.tf_objects import read_aliases

HDF5_SUFFIXES = (".h5", ".hdf5")
TORCH_SUFFIXES = (".pth", ".pt", ".bin")
TORCHVISION = "torchvision:"  # begins the name of a weights object
KNOWN = ".h5, .pth, .pt, .bin, .safetensors, .ckpt, .pb, .index and TensorFlow folders"


@dataclass(frozen=True)
class Source:
    """What a weight file holds.

    Args:
        arrays: name -> array as stored.
        files: that were read, for the digest.
        info: JSON that `delf convert` wrote into the file, "" in others' files.
    """

    arrays: dict[str, NDArray[Any]]
    files: list[Path] = field(default_factory=list)
    info: str = ""

    def digest(self) -> str:
        """Sha256 of the files' contents one after the other, hexadecimal."""
        total = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
        return total.hexdigest()


def read_source(path: Path) -> Source:
    """Read a weight file, or a folder that TensorFlow wrote.

    Args:
        path: .h5, .pth, .safetensors, MindSpore's .ckpt; TensorFlow's ``.index`` file,
            its prefix, a frozen ``.pb``, or a folder with a SavedModel or a checkpoint;
            or ``torchvision:ResNet50_Weights.IMAGENET1K_V2``, which is fetched.

    Raises:
        DelfError: there is no such file, or it is of no known kind or damaged.
    """
    if str(path).startswith(TORCHVISION):
        module = torch_files(path, "torchvision_weights")
        path = module.weights_file(str(path).removeprefix(TORCHVISION))
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        if path.with_name(path.name + ".index").is_file():
            return _read_bundle(path)
        raise DelfError(f"{path}: there is no such file")
    if path.suffix == ".index":
        return _read_bundle(path.with_suffix(""))
    if path.suffix == ".pb":
        return Source(read_frozen(path), [path])
    if path.suffix == ".ckpt":
        arrays = read_ckpt(path)
        note = arrays.pop(METADATA_KEY, None)
        return Source(arrays, [path], "" if note is None else _decode(path, note))
    if path.suffix in HDF5_SUFFIXES:
        arrays = {
            name.removeprefix("pca/"): array
            for name, array in read_keras_h5(path).items()
        }
        return Source(arrays, [path], read_h5_info(path, METADATA_KEY))
    if path.suffix == ".safetensors":
        arrays, metadata = read_safetensors(path)
        return Source(arrays, [path], metadata.get(METADATA_KEY, ""))
    if path.suffix in TORCH_SUFFIXES:
        arrays, text = _read_torch(path)
        return Source(arrays, [path], text)
    raise DelfError(
        f"{path}: files ending in {path.suffix or 'nothing'} are not known; "
        f"known are {KNOWN}"
    )


def _decode(path: Path, note: NDArray[Any]) -> str:
    try:
        return note.tobytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DelfError(f"{path} has damaged metadata: {error}") from None


def _read_folder(folder: Path) -> Source:
    """Read a SavedModel, a folder of checkpoints, or a package with model/ inside."""
    for place in (folder, folder / "model"):
        if (place / "variables" / "variables.index").is_file():
            return _read_bundle(place / "variables" / "variables")
        if (place / "saved_model.pb").is_file():
            frozen = place / "saved_model.pb"
            return Source(read_frozen(frozen), [frozen])
        if (place / "checkpoint").is_file():
            return _read_bundle(_latest(place / "checkpoint"))
    found = sorted(folder.glob("*.index"))
    if len(found) == 1:
        return _read_bundle(found[0].with_suffix(""))
    raise DelfError(
        f"{folder} holds no TensorFlow model: no variables/, no saved_model.pb, no "
        f"checkpoint, and {len(found)} .index files"
    )


def _latest(state: Path) -> Path:
    """Prefix of the checkpoint that TensorFlow's ``checkpoint`` file names."""
    try:
        fields = parse_text_proto(state.read_text(encoding="utf-8"))
        name = fields["model_checkpoint_path"][-1]
    except (OSError, UnicodeDecodeError, KeyError, DelfError) as error:
        raise DelfError(f"{state} names no checkpoint: {error}") from None
    return state.parent / str(name)


def _read_bundle(prefix: Path) -> Source:
    """Read variables, each under the first of its names that we know."""
    bundle = Bundle(prefix)
    aliases: dict[str, list[str]] = {}
    for name in bundle.entries:
        if bundle.is_text(name) and name.endswith("_CHECKPOINTABLE_OBJECT_GRAPH"):
            aliases = read_aliases(bundle.text(name))
    arrays: dict[str, NDArray[Any]] = {}
    for name in bundle.entries:
        if not bundle.is_text(name):
            known = _known_name(name, aliases.get(name, []))
            arrays[name if known in arrays else known] = bundle.array(name)
    files = [prefix.with_name(prefix.name + ".index"), *bundle.data_files()]
    return Source(arrays, files)


def _known_name(name: str, aliases: list[str]) -> str:
    choosers: tuple[Callable[[str], Target], ...] = (
        tf2.choose_target,
        slim.choose_target,
    )
    for candidate in (name, *aliases):
        if any(choose(candidate) != Target() for choose in choosers):
            return candidate
    return name


def _read_torch(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Read through delf_torch, which alone knows PyTorch's files."""
    module = torch_files(path)
    return module.read_state_dict(path), module.read_info(path, METADATA_KEY)


def source_path(source: Any) -> Path:
    """Path of a source; one of torchvision's weights objects becomes its name."""
    if hasattr(source, "url") and hasattr(source, "name"):
        return Path(f"{TORCHVISION}{type(source).__name__}.{source.name}")
    return Path(source)


def torch_files(path: Path, name: str = "state_dict") -> Any:
    """Return a module of delf_torch, by default that of PyTorch's files.

    Raises:
        DelfError: torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise DelfError(
            f"{path}: PyTorch's files need torch, which is not installed; "
            f'install it with: pip install "delf-retrieval[torch]"'
        )
    return importlib.import_module(f"delf_torch.{name}")
