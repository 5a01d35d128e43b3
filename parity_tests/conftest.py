# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures: where the real photographs are."""

import os
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = {"torch": "torch", "ms": "mindspore", "onnx": "onnxruntime"}
SHARED = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(Path(__file__).parent))  # for fake_network and others


@pytest.fixture
def shared_data():
    """Folder of real photographs beside the checkout; skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"the photographs for measurements are not at {SHARED}")
    return SHARED


@pytest.fixture
def noise():
    """A (96, 128, 3) uint8 picture with structure at every cell."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)


@pytest.fixture
def narrow():
    """ResNet-50 with few channels: the same geometry, quick to run."""
    from small_networks import narrow_widths

    with narrow_widths():
        yield


def pytest_addoption(parser):
    """Backends that must be there; those that are not are otherwise left out."""
    parser.addoption(
        "--require",
        default="",
        help="backends that must be there, such as torch,ms",
    )
    parser.addoption(
        "--block",
        default="",
        help="backends to run without although they are installed, such as torch",
    )


def pytest_configure(config):
    """Hide backends, and fail where one that was asked for is not installed."""
    hide_backends(config.getoption("--block"))
    asked = filter(None, config.getoption("--require").split(","))
    missing = [name for name in asked if not is_installed(FRAMEWORKS.get(name, ""))]
    if missing:
        raise pytest.UsageError(f"--require: not installed: {', '.join(missing)}")


def hide_backends(names):
    """Make frameworks look as if they were not installed, for child processes too."""
    chosen = list(filter(None, names.split(",")))
    unknown = set(chosen) - set(FRAMEWORKS)
    if unknown:
        raise pytest.UsageError(f"--block: unknown: {', '.join(sorted(unknown))}")
    if not chosen:
        return
    folder = Path(__file__).parent / "blocking"
    os.environ["DELF_TESTS_BLOCK"] = ",".join(FRAMEWORKS[name] for name in chosen)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    runpy.run_path(str(folder / "sitecustomize.py"))


def pytest_terminal_summary(terminalreporter):
    """Print how far the backends were apart, and what did not run."""
    from tolerances import observed_table

    for line in observed_table():
        terminalreporter.write_line(line)
    for name, framework in FRAMEWORKS.items():
        if not is_installed(framework):
            terminalreporter.write_line(f"not run: {name}, {framework} is not there")


def is_installed(framework):
    """Whether a package is there, without importing it."""
    return bool(framework) and find_spec(framework) is not None
