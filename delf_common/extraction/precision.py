# SPDX-License-Identifier: Apache-2.0
"""The type that a network computes in, where it can be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from delf_common.errors import UsageError

if TYPE_CHECKING:
    from delf_common.protocols import FeatureNetwork


def compute_in(
    network: FeatureNetwork, precision: Literal["float32", "bf16"]
) -> FeatureNetwork:
    """Return a network whose convolutions compute in a type.

    Args:
        network: in float32; returned as it is for float32.
        precision: of its convolutions; what comes out is float32 in any.

    Raises:
        UsageError: the device would lose by it, or the network is an exported file.
    """
    if precision == "float32":
        return network
    convert = getattr(network, "in_precision", None)
    if convert is None:
        raise UsageError(
            f"--precision {precision}: an exported file computes in the type it was "
            f"exported with; leave it out, or use --backend torch or ms"
        )
    converted: FeatureNetwork = convert(precision)
    return converted
