# SPDX-License-Identifier: Apache-2.0
"""How far the backends may be apart: one table, and what was seen of it.

A difference is the largest one over the largest value of the reference, torch's. Each
limit is some four times what was seen on x86-64 with AVX2 and with AVX-512; a wrong
padding, epsilon or order of channels is a thousand times larger.
"""

import numpy as np

from delf_common.parity.features import compare_features

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
    "loss of a first step": (1e-4, "batch norms over a few cells magnify rounding"),
    "gradient of a first step": (3e-4, "as the loss, summed over all parameters"),
    "inliers of a pair": (
        0.0,
        "whole numbers, of photographs without a close decision",
    ),
    "mAP of a small set": (0.0, "follows from the inliers"),
    "gradients": (2e-4, ORDER + ", backwards through batch norms"),
    "step 1-3 loss": (2e-5, "as features, then a logarithm"),
    "step 1-3 norm": (4e-5, "as gradients"),
    "step 1-3 parameters": (4e-6, "a few updates, each as gradients"),
    "step 1-3 statistics": (6e-5, "a hundredth of each batch's"),
    "step 4-10 loss": (5e-3, "rounding grows through batch norms of 32 cells"),
    "step 4-10 norm": (1e-2, "the same"),
    "step 4-10 parameters": (5e-3, "the same"),
    "step 4-10 statistics": (3e-4, "the same"),
    "step 11-20 loss": (0.1, "the same, twice as long"),
    "step 11-20 norm": (0.2, "the same"),
    "step 11-20 parameters": (6e-2, "the same"),
    "step 11-20 statistics": (4e-3, "the same"),
    "steps after resuming": (1e-3, "three updates without those before them"),
}
# Distance of a golden score from the threshold and the cut, over the largest score.
MARGIN = 20 * TOLERANCES["scores of a photograph"][0]
PAIR = "ms - torch"  # both in one process
COLUMNS = (PAIR, "torch - golden", "ms - golden")
observed: dict[tuple[str, str], float] = {}


def assert_near(rung, actual, wanted, column=PAIR):
    """Compare within the rung's limit: shapes, types and NaN before any value.

    Args:
        rung: key of `TOLERANCES`.
        actual: float32 array to judge.
        wanted: the reference, torch's or a golden file's.
        column: of the table, which says what is compared.
    """
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert actual.shape == wanted.shape
    assert actual.dtype == wanted.dtype == np.float32
    assert np.isfinite(wanted).all() and np.isfinite(actual).all()
    largest = np.abs(wanted, dtype=np.float64).max()
    difference = np.abs(actual.astype(np.float64) - wanted).max()
    relative = difference / largest if difference else 0.0
    observe(rung, relative, column)


def assert_same_features(actual, wanted, limit=0, column=PAIR):
    """Compare keypoints by groups of equal score, and what was measured at them.

    Args:
        actual: features to judge.
        wanted: of the reference.
        limit: number of keypoints where the list was cut, 0 where it was not.
        column: of the table.
    """
    rung = "scores of a photograph"
    found = compare_features(
        wanted, actual, TOLERANCES[rung][0], limit=limit, threshold=None
    )
    observe(rung, found.scores, column)
    assert found.keypoints.faults == ()
    # Otherwise hardly anything is compared.
    assert len(wanted) / 2 < found.keypoints.firm - found.keypoints.tied
    assert found.common >= found.keypoints.firm
    observe("descriptors of a photograph", found.descriptors, column)


def observe(rung, relative, column=PAIR):
    """Note a difference for the table, and hold it against the rung's limit."""
    limit, _ = TOLERANCES[rung]
    key = rung, column
    observed[key] = max(observed.get(key, 0.0), relative)
    assert relative <= limit, f"{rung}: {relative:.2g} apart, {limit:.2g} allowed"


def observed_table():
    """Lines of what was seen in this run, in the order of the ladder."""
    columns = [c for c in COLUMNS if any(column == c for _, column in observed)]
    rows = []
    for rung, (limit, _) in TOLERANCES.items():
        seen = [observed.get((rung, column)) for column in columns]
        if any(value is not None for value in seen):
            texts = ["-" if value is None else f"{value:.1e}" for value in seen]
            cells = "".join(f"{text:>16}" for text in texts)
            rows.append(f"{rung:<28}{cells}{limit:>10.0e}")
    names = "".join(f"{column:>16}" for column in columns)
    head = f"{'largest difference, relative':<28}{names}{'allowed':>10}"
    return [head, *rows] if rows else []
