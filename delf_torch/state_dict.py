# SPDX-License-Identifier: Apache-2.0
"""Reads PyTorch's own weight files without running what is in them, and writes."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.io.atomic import replacing

WRAPPERS = ("state_dict", "model")  # keys under which training scripts put it


def read_state_dict(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read a .pth or .pt file of tensors, as NumPy arrays.

    Only tensors and plain containers are unpickled (``weights_only``); anything that
    would run code is refused.

    Args:
        path: the file; a state dict, or a dictionary that holds one under
            "state_dict" or "model".

    Returns:
        Source name -> array, without the prefix "module." of data parallel training.

    Raises:
        DelfError: the file is not a state dict of tensors.
    """
    state = _load(Path(path))
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state:
        raise DelfError(f"{path} holds no state dict (a dictionary of tensors)")
    odd = [str(name) for name, value in state.items() if not torch.is_tensor(value)]
    if odd:
        raise DelfError(f"{path} is no state dict, these are no tensors: {odd}")
    return {str(name).removeprefix("module."): _array(t) for name, t in state.items()}


def read_info(path: str | Path, key: str) -> str:
    """Text that `write_state_dict` put beside the state dict, "" without any.

    Raises:
        DelfError: the file is not readable, or would run code.
    """
    content = _load(Path(path))
    text = content.get(key, "") if isinstance(content, dict) else ""
    return text if isinstance(text, str) else ""


def write_state_dict(
    path: str | Path, arrays: Mapping[str, NDArray[Any]], key: str, text: str
) -> None:
    """Write arrays as a .pth file: the same arrays give the same bytes.

    Args:
        path: the file, replaced if it exists.
        arrays: name -> array, stored as a state dict under "state_dict".
        key: under which the text stands beside it.
        text: what the arrays do not say.
    """
    state = {name: torch.tensor(array) for name, array in arrays.items()}
    stream = io.BytesIO()  # a file would put its own, temporary name inside
    torch.save({"state_dict": state, key: text}, stream)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(stream.getvalue())


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DelfError(
            f"{path} holds more than tensors, and reading it could run foreign code; "
            f"save its state dict alone: torch.save(model.state_dict(), ...)"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DelfError(f"{path} is not a readable PyTorch file: {error}") from None


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    floating = tensor.is_floating_point()
    plain = tensor.detach().to(torch.float32) if floating else tensor.detach()
    return np.ascontiguousarray(plain.numpy())
