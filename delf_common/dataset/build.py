# SPDX-License-Identifier: Apache-2.0
"""Build a training set: plan, write the shards in parallel, then the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from delf_common.dataset.config import BuildConfig, BuildJob, check_config
from delf_common.dataset.finishing import finish
from delf_common.dataset.manifest import BUILDING, Manifest, read_manifest
from delf_common.dataset.pictures import Picture
from delf_common.dataset.plan import SplitPlan, plan_splits
from delf_common.dataset.resuming import begin, describe, is_complete
from delf_common.dataset.shard_job import (
    ShardJob,
    ShardReport,
    build_shard,
    read_note,
)
from delf_common.dataset.source import open_source
from delf_common.dataset.workers import run_in_order
from delf_common.io.lock import Lock
from delf_common.training.file_records import FileRecords


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
