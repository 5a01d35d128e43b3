# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures: where the real photographs are."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = {"torch": "torch", "ms": "mindspore"}
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
def narrow(monkeypatch):
    """ResNet-50 with few channels: the same geometry, quick to run."""
    from delf_common.weights.architectures import RESNET_WIDTHS

    for block, width in zip(RESNET_WIDTHS, (2, 3, 4, 5), strict=True):
        monkeypatch.setitem(RESNET_WIDTHS, block, width)


def pytest_addoption(parser):
    """Backends that must be there; those that are not are otherwise left out."""
    parser.addoption(
        "--require",
        default="",
        help="backends that must be there, such as torch,ms",
    )


def pytest_configure(config):
    """Fail where a backend that was asked for is not installed."""
    asked = filter(None, config.getoption("--require").split(","))
    missing = [name for name in asked if not is_installed(FRAMEWORKS.get(name, ""))]
    if missing:
        raise pytest.UsageError(f"--require: not installed: {', '.join(missing)}")


def pytest_terminal_summary(terminalreporter):
    """Print how far the backends were apart, and what did not run."""
    from tolerances import observed_table

    for line in observed_table():
        terminalreporter.write_line(line)
    for name, framework in FRAMEWORKS.items():
        if not is_installed(framework):
            terminalreporter.write_line(f"not run: {name}, {framework} is missing")


def is_installed(framework):
    """Whether a package is there, without importing it."""
    return bool(framework) and find_spec(framework) is not None
