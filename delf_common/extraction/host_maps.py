# SPDX-License-Identifier: Apache-2.0
"""What an exported network saw, where it gives its maps to the host as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class HostMaps:
    """Maps of one pyramid level that lie in NumPy; fits `DenseMaps`.

    Args:
        attention: (B, h, w).
        features: (B, h, w, C), not normalised.
    """

    def __init__(
        self, attention: NDArray[np.float32], features: NDArray[np.float32]
    ) -> None:
        self.attention = attention
        self.features = features

    def gather(self, image: int, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """Feature rows (n, C) of the chosen cells, row-major indices."""
        rows = self.features[image].reshape(-1, self.features.shape[-1])
        chosen: NDArray[np.float32] = rows[np.asarray(cells, np.intp)]
        return chosen
