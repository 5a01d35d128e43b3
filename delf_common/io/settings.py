# SPDX-License-Identifier: Apache-2.0
"""What was made with which settings, compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def changed_settings(
    old: Mapping[str, Any], new: Mapping[str, Any], beside: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    """Values that differ between two descriptions of how features were made.

    Args:
        old: with its settings under "config".
        new: the same.
        beside: names of what is compared besides all settings of either.

    Returns:
        Name to the old value and the new one, None for what one of them lacks.
    """
    names = [name for name in beside if name != "config"]
    there = {name: old.get(name) for name in names} | old.get("config", {})
    here = {name: new.get(name) for name in names} | new.get("config", {})
    return {
        name: (there.get(name), here.get(name))
        for name in dict.fromkeys([*here, *there])
        if there.get(name) != here.get(name)
    }
