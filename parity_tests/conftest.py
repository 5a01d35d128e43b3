# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures: where the real photographs are."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(Path(__file__).parent))  # for fake_network


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
