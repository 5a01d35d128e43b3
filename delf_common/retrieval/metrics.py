# SPDX-License-Identifier: Apache-2.0
"""Average precision, precision and recall from zero-based ranks of the positives.

Source: the rules of the revisited Oxford and Paris benchmarks (Radenovic et al. 2018),
which the TensorFlow DELF follows too. What those leave open is said in each function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ranks = NDArray[np.int64]


def junk_adjusted_ranks(positive_ranks: ArrayLike, junk_ranks: ArrayLike) -> Ranks:
    """Ranks of the positives after the junk is taken out of the ranking.

    Args:
        positive_ranks: (P,) zero-based ranks, in any order.
        junk_ranks: (J,) zero-based ranks of ignored images, none of them positive.

    Returns:
        (P,) int64, rising: each rank less the number of junk images above it.

    Raises:
        ValueError: a rank is negative, or there twice.
    """
    positives, junk = sorted_ranks(positive_ranks), sorted_ranks(junk_ranks)
    return positives - np.searchsorted(junk, positives)


def average_precision(ranks: ArrayLike, num_positives: int) -> float:
    """Area under the precision-recall curve, by trapezoids.

    The positive at place i (from 0) and rank r adds a step of recall 1 / num_positives
    at the mean of the precision before it, i / r (1 at the top), and with it,
    (i + 1) / (r + 1).

    Args:
        ranks: (P,) zero-based ranks of the positives found, junk taken out.
        num_positives: of the query; those not found add nothing.

    Returns:
        0 to 1, or NaN where the query has no positives.

    Raises:
        ValueError: a rank is negative or there twice, or there are more ranks than
            positives.
    """
    found = checked(ranks, num_positives)
    if not num_positives:
        return float("nan")
    place = np.arange(len(found))
    before = np.where(found == 0, 1.0, place / np.maximum(found, 1))
    after = (place + 1) / (found + 1)
    return float(np.sum(before + after) / (2 * num_positives))


def precision_at(
    ranks: ArrayLike, ks: Sequence[int], num_positives: int
) -> NDArray[np.float64]:
    """Share of positives among the first k.

    Past the last positive nothing is left to find, so k is clipped to its rank + 1: a
    query with 3 positives, all in front, has a precision of 1 at 10. A positive that is
    not in the ranking counts as beyond every k: there is no clipping then, places past
    the ranking's end are misses, and cutting a ranking short never raises precision.
    So k may exceed the ranking (the TensorFlow DELF raises there).

    Args:
        ranks: (P,) zero-based ranks of the positives found, junk taken out.
        ks: the k, each at least 1.
        num_positives: of the query.

    Returns:
        (len(ks),) float64, 0 to 1, or NaN where the query has no positives.

    Raises:
        ValueError: as `average_precision`, or a k is below 1.
    """
    found, places = checked(ranks, num_positives), checked_places(ks)
    if not num_positives:
        return np.full(len(places), np.nan)
    if len(found) == num_positives:
        places = np.minimum(places, found[-1] + 1)
    return np.asarray(np.searchsorted(found, places) / places, np.float64)


def recall_at(
    ranks: ArrayLike, ks: Sequence[int], num_positives: int
) -> NDArray[np.float64]:
    """Share of the positives that is among the first k.

    Arguments, return value and errors as for `precision_at`. Clipping k by the last
    positive changes nothing here; a k beyond the ranking counts all that were found.
    """
    found, places = checked(ranks, num_positives), checked_places(ks)
    if not num_positives:
        return np.full(len(places), np.nan)
    return np.asarray(np.searchsorted(found, places) / num_positives, np.float64)


def mean_of_defined(values: Iterable[float]) -> float:
    """Mean without the NaN of queries that have no positives; NaN if none is left."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def sorted_ranks(ranks: ArrayLike) -> Ranks:
    """Return a rising int64 copy, or raise."""
    values = np.asarray(ranks)
    if values.size and not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"ranks are whole numbers, these are {values.dtype}")
    rising = np.sort(values.astype(np.int64), axis=None)
    if len(rising) and (rising[0] < 0 or np.any(np.diff(rising) == 0)):
        raise ValueError("a rank is negative, or there twice")
    return rising


def checked(ranks: ArrayLike, num_positives: int) -> Ranks:
    """Return rising ranks, or raise if there are more of them than positives."""
    found = sorted_ranks(ranks)
    if len(found) > num_positives:
        raise ValueError(f"{len(found)} ranks for {num_positives} positives")
    return found


def checked_places(ks: Sequence[int]) -> Ranks:
    """Return the k as an array, or raise."""
    places = np.asarray(ks, np.int64)
    if np.any(places < 1):
        raise ValueError(f"k must be at least 1, not {places.min()}")
    return places
