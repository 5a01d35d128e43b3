# SPDX-License-Identifier: Apache-2.0
"""Packages that only some tasks need, and which extra of ours installs them."""

from __future__ import annotations

import importlib.util

from delf_common.errors import DelfError

# module -> (distribution, extra, what it is for)
EXTRAS = {
    "grain": ("grain", "train", "the training pipeline"),
    "array_record": ("array-record", "train", "ArrayRecord shards"),
    "tensorboard": ("tensorboard", "train", "event files"),
    "matplotlib": ("matplotlib", "train", "curves and bar charts"),
    "skimage": ("scikit-image", "demo", "example photographs and --method ransac"),
}


def need(module: str) -> None:
    """Check that a package of an extra is there, without importing it.

    Raises:
        DelfError: it is not; says what it is for and how to install it.
    """
    if importlib.util.find_spec(module) is None:
        distribution, extra, purpose = EXTRAS[module]
        raise DelfError(
            f"{purpose} takes the package {distribution}, which is not installed; "
            f'install it, from the checkout, with: pip install ".[{extra}]"'
        )
