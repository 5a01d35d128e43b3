# SPDX-License-Identifier: Apache-2.0
"""What a training set holds: counts, and whether its files are whole."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from delf_common.data.progress import in_units
from delf_common.dataset.finishing import RELABELING
from delf_common.dataset.manifest import (
    FileEntry,
    Manifest,
    check_file,
    read_manifest,
)
from delf_common.errors import DelfError
from delf_common.training.csv_text import read_columns
from delf_common.training.records import RecordSource

LISTED = 5  # classes named at either end


def count_images(source: RecordSource) -> NDArray[np.int64]:
    """Images of every class, (num_classes,)."""
    labels = np.asarray(source.labels, np.int64)
    return np.bincount(labels, minlength=source.num_classes)


def class_names(source: RecordSource, folder: Path | None) -> Sequence[str]:
    """Names of the classes by label: the source's own, or of relabeling.csv.

    Args:
        source: the records.
        folder: where built shards are, None for another set.

    Returns:
        Empty where the classes have no names.
    """
    table = folder / RELABELING if folder else None
    if table is not None and table.is_file():
        rows = read_columns(table, ["new_label", "old_label"])
        return [name for _, (_, name) in rows]
    names: Sequence[str] = getattr(source, "class_names", ())
    return names


def shards_of(source: RecordSource) -> tuple[Path, Manifest] | None:
    """Folder and manifest of built shards; None for another training set."""
    if source.provenance["records"] != "shards":
        return None
    folder = Path(source.provenance["path"])
    return folder, read_manifest(folder)


def summarise(source: RecordSource, names: Sequence[str]) -> dict[str, Any]:
    """Counts as numbers.

    Args:
        source: the records, at least one.
        names: of the classes, or empty.
    """
    counts = count_images(source)
    present = counts[counts > 0]
    order = np.argsort(-counts, kind="stable")
    largest = [(_name(label, names), int(counts[label])) for label in order[:LISTED]]
    return {
        "records": len(source),
        "num_classes": source.num_classes,
        "classes_with_images": len(present),
        "images_per_class": {
            "least": int(present.min()),
            "median": float(np.median(present)),
            "mean": float(present.mean()),
            "most": int(present.max()),
        },
        "classes_with_one_image": int((counts == 1).sum()),
        "largest_classes": dict(largest),
        "provenance": dict(source.provenance),
    }


def _name(label: int, names: Sequence[str]) -> str:
    return f"{label} ({names[label]})" if len(names) > label else str(label)


def summarise_shards(manifest: Manifest) -> dict[str, Any]:
    """Count what a manifest lists."""
    return {
        "format": manifest.format,
        "skipped": manifest.skipped,
        "splits": {
            name: {
                "records": split.records,
                "classes_with_images": split.classes,
                "shards": len(split.shards),
                "bytes": sum(f.bytes for s in split.shards for f in s.files),
            }
            for name, split in manifest.splits.items()
        },
        "arguments": dict(manifest.arguments),
    }


def verify(folder: Path, manifest: Manifest, workers: int) -> int:
    """Read every byte of every split, and compare the sha256.

    Returns:
        How many files are whole.

    Raises:
        DelfError: names every file that is not.
    """
    splits = manifest.splits.values()
    entries = [file for split in splits for s in split.shards for file in s.files]
    entries += [split.labels for split in splits]

    def damage(entry: FileEntry) -> str:
        try:
            check_file(folder, entry, thorough=True)
        except DelfError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(workers) as pool:
        found = tqdm(pool.map(damage, entries), total=len(entries), disable=None)
        damaged = [line for line in found if line]
    if damaged:
        listed = "\n  ".join(damaged)
        raise DelfError(f"{len(damaged)} of {len(entries)} files:\n  {listed}")
    return len(entries)


def format_summary(summary: dict[str, Any]) -> str:
    """Lay the counts out for people."""
    per_class = summary["images_per_class"]
    lines = [
        f"{summary['records']} records, {summary['classes_with_images']} of "
        f"{summary['num_classes']} classes have images",
        f"images per class: {per_class['least']} to {per_class['most']}, median "
        f"{per_class['median']:g}, mean {per_class['mean']:.3g}; "
        f"{summary['classes_with_one_image']} classes have one",
        "largest classes: "
        + ", ".join(f"{k}: {n}" for k, n in summary["largest_classes"].items()),
    ]
    shards = summary.get("shards")
    if shards:
        lines += [
            f"{name}: {split['records']} records in {split['shards']} shards, "
            f"{in_units(split['bytes'])}, {shards['format']}"
            for name, split in shards["splits"].items()
        ]
        lines.append(f"{shards['skipped']} pictures were left out when it was built")
    return "\n".join(lines)
