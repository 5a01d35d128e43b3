# SPDX-License-Identifier: Apache-2.0
"""What the figures of a bench depend on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path


def describe_machine() -> dict[str, str]:
    """Processor count and versions that figures depend on."""
    packages = (
        "numpy",
        "opencv-python-headless",
        "scikit-image",
        "faiss-cpu",
        "torch",
        "mindspore",
        "onnxruntime",
    )
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor_name(),
        "cores": str(os.cpu_count()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "not set"),
        "Python": platform.python_version(),
        **versions,
    }


def processor_name() -> str:
    """Model of the processor, where the system says it; else its architecture."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
