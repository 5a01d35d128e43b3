# SPDX-License-Identifier: Apache-2.0
"""Read a pickle that holds data only; refuse one that would run something.

A pickle is a program: it names functions and calls them. Here the few names that plain
NumPy data needs lead to our own builders, which check every argument; every other name
is refused. Not one function of NumPy is called with what the file says, as some of
them read files, import modules or rebuild arrays of objects.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError

MOST_BYTES = 256 * 2**20  # the real files have less than 0.3 MB
PLAIN_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU][1-9]\d{0,8})")


def load_plain(path: Path) -> Any:
    """Load containers, numbers, strings and NumPy arrays of numbers or strings.

    Works for pickles of every protocol written under Python 2 or 3, NumPy 1 or 2.

    Returns:
        dict, list, tuple, set, str, bytes, numbers, None and arrays.

    Raises:
        DelfError: the file names anything else (the message says what), or is no
            pickle, or is larger than `MOST_BYTES`.
    """
    if path.stat().st_size > MOST_BYTES:
        raise DelfError(f"{path} is larger than {MOST_BYTES} bytes: no ground truth")
    try:
        reader = PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1")
        return unwrap(reader.load(), {})
    except DelfError as error:
        raise DelfError(f"{path}: {error}") from None
    except Exception as error:  # a broken pickle may raise nearly anything
        what = f"{type(error).__name__}: {error}"
        raise DelfError(f"{path} is not a readable pickle ({what})") from None


def brief(value: Any) -> str:
    """Return the value in few words; a file can nest it to any size."""
    return reprlib.repr(value)


class PlainUnpickler(pickle.Unpickler):
    """An unpickler to which only the names in `BUILDERS` exist."""

    def find_class(self, module: str, name: str) -> Any:
        """Return our builder for a name, or refuse it."""
        home = re.sub(r"^numpy\._core\b", "numpy.core", module)  # renamed in NumPy 2
        if (home, name) not in BUILDERS:
            raise DelfError(
                f"refused {module}.{name}: only plain containers, numbers, strings and "
                "arrays of them may be in this file"
            )
        return BUILDERS[home, name]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to objects outside the file."""
        raise DelfError(f"refused the outside reference {brief(pid)}")


class Builder:
    """A name the file may use: callable, and closed to changes by the file."""

    __slots__ = ("build", "name")

    def __init__(self, name: str, build: Callable[..., Any]) -> None:
        self.name, self.build = name, build

    def __call__(self, *arguments: Any) -> Any:
        """Build, after checking the arguments."""
        return self.build(*arguments)

    def __setstate__(self, state: Any) -> None:
        # Without this, the BUILD instruction could set attributes here.
        raise DelfError(f"refused to change {self.name}")


class PlainDtype:
    """Stands for a NumPy dtype of numbers or strings while the file is read."""

    __slots__ = ("dtype",)

    def __init__(self, text: Any, *_: Any) -> None:
        if not isinstance(text, str) or not PLAIN_DTYPE.fullmatch(text):
            raise DelfError(
                f"refused arrays of dtype {brief(text)}: numbers and strings only"
            )
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, rest = state[1], state[2:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in rest):
            raise DelfError("refused a dtype with fields or sub-arrays")
        self.dtype = self.dtype.newbyteorder(order)


class PlainArray:
    """Stands for an array while the file is read."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]  # a version number may stand in front
        self.array = array_of(data, dtype, shape, "F" if fortran else "C")


def array_of(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    """Return an array of the bytes, or raise."""
    if not isinstance(dtype, PlainDtype) or not isinstance(
        data, (bytes, bytearray, str)
    ):
        raise DelfError("refused an array whose contents are not plain bytes")
    content = data.encode("latin1") if isinstance(data, str) else bytes(data)
    sides = shape if isinstance(shape, tuple) else (shape,)
    if not all(type(side) is int and side >= 0 for side in sides):
        raise DelfError(f"refused an array of shape {brief(shape)}")
    if math.prod(sides) * dtype.dtype.itemsize != len(content) or order not in (
        "C",
        "F",
    ):
        raise DelfError(
            f"refused {len(content)} bytes as an array of shape {brief(shape)}"
        )
    return np.ndarray(sides, dtype.dtype, content, order=order).copy(order)


def start_array(kind: Any, *_: Any) -> PlainArray:
    """Stand in for NumPy's ``_reconstruct``; the contents follow in a later step."""
    if kind is not ARRAY:
        raise DelfError(
            f"refused to make an array of class {getattr(kind, 'name', brief(kind))}"
        )
    return PlainArray()


def array_from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PlainArray:
    """Stand in for NumPy's ``_frombuffer``, which protocol 5 uses."""
    standing = PlainArray()
    standing.array = array_of(data, dtype, shape, order)
    return standing


def scalar(dtype: Any, data: Any) -> Any:
    """Stand in for NumPy's ``scalar``: one number of the given dtype."""
    return array_of(data, dtype, (), "C").item()


def encode(text: Any, encoding: Any) -> bytes:
    """Return bytes as protocols 0 to 2 write them: text, one character a byte."""
    if not isinstance(text, str) or encoding != "latin1":
        raise DelfError(f"refused _codecs.encode with {brief(encoding)}")
    return text.encode("latin1")


def empty_bytes() -> bytes:
    """Return no bytes, which protocols 0 to 2 write as a call of ``bytes``."""
    return b""


def refuse_call(*_: Any) -> Any:
    """Stand in for a class that a file may name, but not call."""
    raise DelfError("refused a call of numpy.ndarray")


ARRAY = Builder("numpy.ndarray", refuse_call)
BUILDERS = {
    ("numpy", "ndarray"): ARRAY,
    ("numpy", "dtype"): Builder("numpy.dtype", PlainDtype),
    ("numpy.core.multiarray", "_reconstruct"): Builder("_reconstruct", start_array),
    ("numpy.core.multiarray", "scalar"): Builder("scalar", scalar),
    ("numpy.core.numeric", "_frombuffer"): Builder("_frombuffer", array_from_buffer),
    ("builtins", "set"): Builder("set", set),
    ("builtins", "frozenset"): Builder("frozenset", frozenset),
    ("__builtin__", "set"): Builder("set", set),
    ("__builtin__", "frozenset"): Builder("frozenset", frozenset),
    ("__builtin__", "bytes"): Builder("bytes", empty_bytes),
    ("_codecs", "encode"): Builder("encode", encode),
}


def unwrap(value: Any, done: dict[int, Any]) -> Any:
    """Return the value with arrays in place of what stood for them.

    Args:
        value: what was read.
        done: values already unwrapped, by identity; one that occurs a million times is
            looked at once.
    """
    if id(value) not in done:
        done[id(value)] = unwrap_one(value, done)
    return done[id(value)]


def unwrap_one(value: Any, done: dict[int, Any]) -> Any:
    """Unwrap a value that was not met before."""
    if isinstance(value, PlainArray):
        return value.array
    if isinstance(value, (Builder, PlainDtype)):
        raise DelfError("refused a class or a dtype as data")
    if isinstance(value, dict):
        return {unwrap(k, done): unwrap(v, done) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(unwrap(item, done) for item in value)
    return value
