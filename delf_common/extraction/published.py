# SPDX-License-Identifier: Apache-2.0
"""Settings that were published with the weights, where the caller chose none."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from delf_common.config import ExtractConfig


def with_published(
    config: ExtractConfig, published: Mapping[str, Any], given: Collection[str]
) -> ExtractConfig:
    """Let published settings take the place of defaults.

    Args:
        config: how keypoints are chosen and described.
        published: `WeightsInfo.extraction`, by the names of the fields; {} changes
            nothing. Names that are no fields are passed over.
        given: fields that the caller chose, which stay as they are.
    """
    fields = {field.name for field in dataclasses.fields(config)}
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in published.items()
        if name in fields and name not in given
    }
    return dataclasses.replace(config, **chosen)
