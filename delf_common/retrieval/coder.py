# SPDX-License-Identifier: Apache-2.0
"""Keep an index and its codes together while the index is made or grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delf_common.config import CodesConfig
from delf_common.errors import DelfError
from delf_common.retrieval.codes import (
    check_fit,
    codes_path,
    import_faiss,
    read_foot,
)
from delf_common.retrieval.coding import build_codes, extend_codes
from delf_common.retrieval.index import Index


class Coder:
    """What to do about the codes of an index that is about to be written.

    Made before the index is touched, so that what cannot work is said before hours of
    extraction; run after.

    Args:
        output: the index.
        config: whether codes are wanted, and which.
        add: whether the index is there and grows.

    Raises:
        DelfError: the codes that are there do not fit and no new ones are asked for;
            or faiss is missing.
    """

    def __init__(self, output: Path, config: CodesConfig, add: bool) -> None:
        self.output, self.config = output, config
        self.before = 0
        self.extends = False
        if add and codes_path(output).exists():
            self.extends = self._codes_fit()
        if self.extends or config.codes == "pq":
            import_faiss()

    def _codes_fit(self) -> bool:
        """Tell whether the codes can grow; otherwise new ones must be asked for."""
        path = codes_path(self.output)
        with Index(self.output) as index:
            self.before = len(index)
            try:
                info = read_foot(path)
                check_fit(path, info, index)
            except DelfError:
                if self.config.codes == "none":
                    raise
                return False
        return self.config.codes == "none" or asks_for_same(self.config, info)

    def run(self, new: int) -> str:
        """Write, extend or remove the codes; say what they are.

        Args:
            new: images that the index got.
        """
        if self.extends and not new:
            return ""
        if self.extends:
            return describe(extend_codes(self.output, self.before))
        if self.config.codes == "pq":
            return describe(build_codes(self.output, self.config))
        stale = codes_path(self.output)  # of an index that was replaced
        stale.unlink(missing_ok=True)
        return ""


def asks_for_same(config: CodesConfig, info: dict[str, Any]) -> bool:
    """Tell whether codes are what a configuration asks for, "auto" being anything."""
    asked = {
        "cells": config.cells,
        "code_bytes": config.code_bytes,
        "descriptors_per_cell": config.descriptors_per_cell,
        "codes_seed": config.codes_seed,
    }
    return all(value in ("auto", info.get(name)) for name, value in asked.items())


def describe(info: dict[str, Any]) -> str:
    """Say what codes are, to follow what the index is."""
    return (
        f"; codes of {info['code_bytes']} bytes in {info['cells']} cells, learned from "
        f"{info['learned_from']} descriptors"
    )
