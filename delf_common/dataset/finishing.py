# SPDX-License-Identifier: Apache-2.0
"""What is written when all shards are: labels, lists and, last, the manifest."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from delf_common.dataset.config import BuildConfig
from delf_common.dataset.manifest import (
    Manifest,
    Split,
    describe_file,
    write_manifest,
)
from delf_common.dataset.plan import SplitPlan
from delf_common.dataset.shard_job import ShardReport
from delf_common.errors import DelfError
from delf_common.io.atomic import replacing
from delf_common.training.file_records import FileRecords

SKIPPED = "skipped.csv"
RELABELING = "relabeling.csv"


def finish(
    folder: Path,
    source: FileRecords,
    plans: Sequence[SplitPlan],
    config: BuildConfig,
    plan_sha256: str,
    reports: dict[str, list[ShardReport]],
) -> Manifest:
    """Write the labels, the lists and, last, the manifest.

    Raises:
        DelfError: not one picture of a split could be stored.
    """
    skipped = [row for plan in plans for r in reports[plan.name] for row in r.skipped]
    write_rows(folder / SKIPPED, ["name", "path", "reason"], skipped)
    if source.class_names:
        rows = enumerate(source.class_names)
        write_rows(folder / RELABELING, ["new_label", "old_label"], rows)
    splits = {
        plan.name: write_labels(folder, plan.name, reports[plan.name]) for plan in plans
    }
    arguments = asdict(config)
    del arguments["output_directory"]  # shards may be moved
    manifest = Manifest(
        format=config.format,
        num_classes=source.num_classes,
        source=dict(source.provenance),
        arguments=arguments,
        plan=plan_sha256,
        skipped=len(skipped),
        splits=splits,
    )
    write_manifest(folder, manifest)
    return manifest


def write_labels(folder: Path, name: str, reports: Sequence[ShardReport]) -> Split:
    """Write the labels of a split and make its entry."""
    labels = array("i")
    for report in reports:
        labels.extend(report.labels)
    if not labels:
        raise DelfError(
            f"no picture of the {name} split is there and decodes; see "
            f"{folder / SKIPPED}"
        )
    path = folder / f"{name}.labels.npy"
    values = np.frombuffer(labels, np.intc).astype("<i4")
    with replacing(path) as temporary:
        np.save(temporary, values)
    shards = tuple(report.shard for report in reports)
    return Split(len(values), len(np.unique(values)), describe_file(path), shards)


def write_rows(path: Path, head: list[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
