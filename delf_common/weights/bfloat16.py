# SPDX-License-Identifier: Apache-2.0
"""The 16-bit float that NumPy lacks: the upper half of a float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def from_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """Turn uint16 bit patterns into the float32 values that they stand for."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
