# SPDX-License-Identifier: Apache-2.0
"""Loads a backend by name, and says what to install when it is not there."""

from __future__ import annotations

import importlib
import importlib.util
from typing import cast

from delf_common.errors import DelfError, UsageError
from delf_common.protocols import Backend

FRAMEWORKS = {
    "torch": "torch",
    "ms": "mindspore",
    "onnx": "onnxruntime",
    "mindir": "mindspore",
}
INSTEAD = {"mindir": "mindspore_lite"}  # runs the backend as well
EXTRAS = {"mindir": "ms"}  # that install a backend, where not called like it


def load_backend(name: str) -> Backend:
    """Import `delf_torch`, `delf_ms`, ...; none is imported before this call.

    Raises:
        UsageError: for a name that is not a backend.
        DelfError: when the framework or the backend is not installed.
    """
    if name not in FRAMEWORKS:
        names = ", ".join(FRAMEWORKS)
        raise UsageError(f"--backend {name}: there is no such backend; choose {names}")
    framework, module = FRAMEWORKS[name], f"delf_{name}"
    if importlib.util.find_spec(module) is None:
        raise DelfError(
            f"--backend {name}: {module} is not part of this version; "
            f"use --backend torch"
        )
    if not is_installed(name):
        others = [f"--backend {other}" for other in installed_backends()]
        choice = f"use what is: {', '.join(others)}, or " if others else ""
        raise DelfError(
            f"--backend {name} needs the package {framework}, which is not installed; "
            f"{choice}install it, from the checkout, with: "
            f'pip install ".[{EXTRAS.get(name, name)}]"'
        )
    return cast(Backend, importlib.import_module(module))


def is_installed(name: str) -> bool:
    """Whether a backend's framework is there, without importing it."""
    packages = {FRAMEWORKS[name], INSTEAD.get(name, FRAMEWORKS[name])}
    return any(importlib.util.find_spec(package) for package in packages)


def installed_backends() -> list[str]:
    """Names of the backends whose framework is there, the reference first."""
    return [name for name in FRAMEWORKS if is_installed(name)]
