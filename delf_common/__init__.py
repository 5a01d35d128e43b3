# SPDX-License-Identifier: Apache-2.0
"""Everything of DELF that is not a neural network; imports neither framework.

The names below are imported when they are first used, so that ``delf --help`` and the
settings stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from delf_common.config import (
        ExtractConfig,
        MatchConfig,
        SearchConfig,
        VerifyConfig,
    )
    from delf_common.extraction.extractor import Extractor, extract
    from delf_common.features import Features
    from delf_common.io.feature_file import FeatureReader
    from delf_common.matching.matcher import match
    from delf_common.retrieval.index import Index
    from delf_common.retrieval.search import search

__version__ = "0.1.0"

_HOMES = {
    "ExtractConfig": "config",
    "Extractor": "extraction.extractor",
    "FeatureReader": "io.feature_file",
    "Features": "features",
    "Index": "retrieval.index",
    "MatchConfig": "config",
    "SearchConfig": "config",
    "VerifyConfig": "config",
    "extract": "extraction.extractor",
    "match": "matching.matcher",
    "search": "retrieval.search",
}

__all__ = [
    "ExtractConfig",
    "Extractor",
    "FeatureReader",
    "Features",
    "Index",
    "MatchConfig",
    "SearchConfig",
    "VerifyConfig",
    "extract",
    "match",
    "search",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'delf_common' has no attribute {name!r}")
    return getattr(importlib.import_module(f"delf_common.{_HOMES[name]}"), name)
