# SPDX-License-Identifier: Apache-2.0
"""Labels are checked once, when a set is opened, and never corrected in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from delf_common.errors import DelfError


def count_classes(
    labels: Sequence[int], num_classes: int | None, describe: Callable[[int], str]
) -> int:
    """Check every label, and say how many classes there are.

    The TensorFlow DELF clips labels to 0 ... num_classes, one too many; here a label
    outside the classes is an error.

    Args:
        labels: the label of every record.
        num_classes: what the classifier has. None: one above the largest label, and
            then every class must have an image; a classifier that is given may have
            classes of which this set shows none.
        describe: where record i stands, for the message: a file and a line, or a name.

    Returns:
        The number of classes.

    Raises:
        DelfError: no records; a label below 0 or past the last class; a class without
            images.
    """
    if not labels:
        raise DelfError("the training set is empty: it has no records at all")
    if num_classes is not None and num_classes < 1:
        raise DelfError(f"num_classes {num_classes}: must be above 0")
    limit = max(labels) + 1 if num_classes is None else num_classes
    for index, label in enumerate(labels):
        if not 0 <= label < limit:
            raise DelfError(
                f"{describe(index)}: label {label} is outside 0..{limit - 1} "
                f"({limit} classes); correct the label, or say how many classes there "
                "are"
            )
    if num_classes is None:
        _refuse_gaps(labels, limit)
    return limit


def _refuse_gaps(labels: Sequence[int], limit: int) -> None:
    """Raise DelfError when a class below the largest label has no image."""
    present = set(labels)
    if len(present) == limit:
        return
    first = next(label for label in range(limit) if label not in present)
    raise DelfError(
        f"class {first} has no image ({limit - len(present)} of the {limit} classes "
        "that the largest label asks for have none); number the labels densely from "
        "0, or say how many classes there are"
    )


def number_names(names: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Dense labels by sorted name.

    Args:
        names: the class name of every record.

    Returns:
        The label of every record, and the class names in the order of their labels.
    """
    classes = tuple(sorted(set(names)))
    numbers = {name: number for number, name in enumerate(classes)}
    return [numbers[name] for name in names], classes
