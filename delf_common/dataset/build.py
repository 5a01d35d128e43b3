# SPDX-License-Identifier: Apache-2.0
"""Build a training set: plan, write the shards in parallel, then the manifest."""

from __future__ import annotations

import csv
import json
import re
import shutil
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from delf_common.dataset.config import BuildConfig, BuildJob, check_config
from delf_common.dataset.manifest import (
    BUILDING,
    MANIFEST,
    Manifest,
    Shard,
    Split,
    describe_file,
    read_manifest,
    write_manifest,
)
from delf_common.dataset.plan import SplitPlan, fingerprint, plan_splits
from delf_common.dataset.shard_job import (
    WRITING,
    Picture,
    ShardJob,
    ShardReport,
    build_shard,
    read_note,
)
from delf_common.dataset.source import open_source
from delf_common.dataset.workers import run_in_order
from delf_common.errors import DelfError
from delf_common.io.atomic import replacing, write_text
from delf_common.io.journal import refuse_other_header
from delf_common.io.lock import Lock
from delf_common.training.file_records import FileRecords

SKIPPED = "skipped.csv"
RELABELING = "relabeling.csv"
SETTINGS = (  # of BuildConfig, that make the bytes for the same pictures
    "num_shards",
    "validation_split_size",
    "seed",
    "split_rule",
    "format",
    "check",
)
OURS = re.compile(
    r"(train|validation)\.(array_record-\d+-of-\d+|mindrecord\d+(\.db)?|labels\.npy)"
)


def build_dataset(config: BuildConfig, job: BuildJob) -> Manifest:
    """Build shards from pictures; the same bytes for any number of workers.

    Memory: the names and labels of all pictures, and for each worker one picture and
    the buffers of its shard.

    Returns:
        The manifest, which is the last file written.

    Raises:
        DelfError: the source is damaged or empty, the output is there already, was
            begun with other settings, or another build works in it; a picture is bad
            and the job is strict; the disk is full.
        UsageError: settings are out of range or contradict each other.
    """
    check_config(config, job)
    folder = Path(config.output_directory)
    source = open_source(config)
    plans = plan_splits(source, config)
    header = describe(config, source, plans)
    folder.mkdir(parents=True, exist_ok=True)
    with closing(Lock(folder / ".building.lock", "delf build-dataset")):
        if is_complete(folder, header, job):
            return read_manifest(folder)
        begin(folder, header, job)
        reports = write_shards(folder, source, plans, config, job)
        manifest = finish(folder, source, plans, config, header["plan"], reports)
        shutil.rmtree(folder / BUILDING)
    return manifest


def describe(
    config: BuildConfig, source: FileRecords, plans: Sequence[SplitPlan]
) -> dict[str, Any]:
    """Return what makes the bytes; a build is continued only with the same."""
    return {
        "config": {name: getattr(config, name) for name in SETTINGS},
        "plan": fingerprint(source, plans),
    }


def is_complete(folder: Path, header: dict[str, Any], job: BuildJob) -> bool:
    """Whether a build to be resumed is finished already.

    Raises:
        DelfError: there is a build, and the job says neither resume nor overwrite; or
            it was built with other settings.
    """
    built, begun = folder / MANIFEST, folder / BUILDING
    if job.overwrite or not (built.exists() or begun.exists()):
        return False
    if not job.resume:
        what = "holds built shards" if built.exists() else "holds a build cut off"
        raise DelfError(
            f"{folder} {what}; continue it with --resume, replace it with --overwrite, "
            "or choose another --output_directory"
        )
    if not built.exists():
        return False
    manifest = read_manifest(folder)
    settings = {name: manifest.arguments.get(name) for name in SETTINGS}
    refuse_other_build(built, {"config": settings, "plan": manifest.plan}, header)
    return True


def refuse_other_build(
    path: Path, begun: dict[str, Any], header: dict[str, Any]
) -> None:
    """Raise DelfError unless a build may be continued."""
    settings = {"config": header["config"]}
    refuse_other_header(path, {"config": begun["config"]}, settings)
    if begun["plan"] != header["plan"]:
        raise DelfError(
            f"{path}: the pictures or their labels are not those it was begun with; "
            "begin again with --overwrite"
        )


def begin(folder: Path, header: dict[str, Any], job: BuildJob) -> None:
    """Note what is built, or compare with what was begun.

    Raises:
        DelfError: it was begun with other settings.
    """
    note = folder / BUILDING / "plan.json"
    if job.overwrite:
        remove_build(folder)
    if note.exists():
        refuse_other_build(note, json.loads(note.read_text("utf-8")), header)
    else:
        write_text(note, json.dumps(header))
    for half in note.parent.glob(f"*{WRITING}"):
        shutil.rmtree(half)


def remove_build(folder: Path) -> None:
    """Remove what an earlier build wrote, its manifest first; nothing else."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder / BUILDING, ignore_errors=True)
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) or path.name in (SKIPPED, RELABELING):
            path.unlink()


def write_shards(
    folder: Path,
    source: FileRecords,
    plans: Sequence[SplitPlan],
    config: BuildConfig,
    job: BuildJob,
) -> dict[str, list[ShardReport]]:
    """Write the shards that are not there yet; reports by split, in order."""
    reports: dict[str, list[ShardReport]] = {plan.name: [] for plan in plans}
    jobs = (
        shard_job
        for plan in plans
        for shard_job in shard_jobs(folder, source, plan, config, job)
    )
    total = sum(len(plan.order) for plan in plans)
    with tqdm(total=total, unit="image", disable=None) as bar:
        for shard_job, report in run_in_order(build_or_keep, jobs, job.workers):
            reports[shard_job.split].append(report)
            bar.update(len(shard_job.pictures))
    return reports


def build_or_keep(job: ShardJob) -> ShardReport:
    """Build a shard unless it is finished."""
    return read_note(job) or build_shard(job)


def shard_jobs(
    folder: Path,
    source: FileRecords,
    plan: SplitPlan,
    config: BuildConfig,
    job: BuildJob,
) -> Iterator[ShardJob]:
    """Yield the work of each shard, one at a time: a job holds all its paths."""
    names = shard_names(config.format, plan)
    for number, indices in enumerate(plan.shards()):
        pictures = [
            Picture(
                str(source.root / source.locate(source.names[index])),
                source.labels[index],
                source.names[index],
            )
            for index in indices.tolist()
        ]
        yield ShardJob(
            folder,
            plan.name,
            names,
            number,
            pictures,
            config.format,
            config.check == "decode",
            job.strict,
        )


def shard_names(kind: str, plan: SplitPlan) -> list[str]:
    """Names of a split's shards: the grain library's style, or the originals'."""
    count = plan.num_shards
    if kind == "mindrecord":
        return [f"{plan.name}.mindrecord{number:03d}" for number in range(count)]
    return [
        f"{plan.name}.array_record-{number:05d}-of-{count:05d}"
        for number in range(count)
    ]


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
    shards: tuple[Shard, ...] = tuple(report.shard for report in reports)
    return Split(len(values), len(np.unique(values)), describe_file(path), shards)


def write_rows(path: Path, head: list[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
