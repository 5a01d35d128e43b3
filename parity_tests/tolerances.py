# SPDX-License-Identifier: Apache-2.0
"""How far the backends may be apart: one table, and what was seen of it.

A difference is the largest one over the largest value of the reference, torch's. Each
limit is some four times what was seen on x86-64 with AVX2 and with AVX-512; a wrong
padding, epsilon or order of channels is a thousand times larger.
"""

import numpy as np

ORDER = "float32 sums in another order"
# rung -> (limit, why it is not 0)
TOLERANCES = {
    "normalise": (0.0, "exact: bytes, a difference and a power of two"),
    "resize": (3e-6, "the four products of a pixel are rounded in another order"),
    "convolution": (2e-6, ORDER + ", up to 1200 products"),
    "max pool": (0.0, "exact: a maximum"),
    "subsample": (0.0, "exact: a copy"),
    "batch norm": (2e-6, "the scale is multiplied in before or after the mean"),
    "running statistics": (2e-6, ORDER),
    "softplus": (5e-5, "MindSpore's exp has 5 digits at -80"),
    "stage": (5e-6, ORDER + ", each stage fed with the same input"),
    "features": (1e-5, ORDER + ", 50 layers (design.md section 8)"),
    "attention": (1e-5, "as features"),
    "block4": (1e-5, "as features"),
    "dense features": (1e-5, "as features, batch norms folded"),
    "dense attention": (1e-5, "as attention, batch norms folded"),
    "checkpoint": (0.0, "exact: copies"),
    "scores of a photograph": (1e-5, "as attention"),
    "descriptors of a photograph": (2e-5, "as features, then a division by the length"),
}
observed: dict[str, float] = {}


def assert_near(rung, actual, wanted):
    """Compare within the rung's limit: shapes, types and NaN before any value."""
    limit, _ = TOLERANCES[rung]
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert actual.shape == wanted.shape
    assert actual.dtype == wanted.dtype == np.float32
    assert np.isfinite(wanted).all() and np.isfinite(actual).all()
    largest = np.abs(wanted, dtype=np.float64).max()
    difference = np.abs(actual.astype(np.float64) - wanted).max()
    relative = difference / largest if difference else 0.0
    observed[rung] = max(observed.get(rung, 0.0), relative)
    assert relative <= limit, f"{rung}: {relative:.2g} apart, {limit:.2g} allowed"


def observed_table():
    """Lines of what was seen in this run, in the order of the ladder."""
    rows = [
        f"{rung:<28} {observed[rung]:>9.1e} {limit:>9.1e}"
        for rung, (limit, _) in TOLERANCES.items()
        if rung in observed
    ]
    head = f"{'largest difference of ms':<28} {'seen':>9} {'allowed':>9}"
    return [head, *rows] if rows else []
