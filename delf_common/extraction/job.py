# SPDX-License-Identifier: Apache-2.0
"""Extraction of a whole collection: decode, run the network, keep a journal, merge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from delf_common import __version__
from delf_common.backends import load_backend
from delf_common.config import ExtractConfig, JobConfig
from delf_common.errors import UsageError
from delf_common.extraction.background import Background
from delf_common.extraction.batches import decode_ahead, group_by_shape
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.processes import run_in_processes
from delf_common.extraction.recording import see
from delf_common.extraction.resuming import (
    find_earlier,
    find_journals,
    journal_path,
    prepare_journals,
)
from delf_common.extraction.stages import LOAD, MERGE, Timed, untimed
from delf_common.io.atomic import refuse_existing
from delf_common.io.feature_file import FeatureReader, refuse_names
from delf_common.io.image_list import ImageEntry
from delf_common.io.journal import Journal
from delf_common.io.lock import locked_output
from delf_common.io.merging import ADDS, refuse_mixture, write_feature_file
from delf_common.weights.metadata import Pca

Progress = Callable[[int], Any]


@dataclass(frozen=True)
class ExtractionJob:
    """What to extract, with what, to where.

    Args:
        entries: the pictures, in output order.
        output: the feature file.
        backend: "torch", "ms" or "onnx".
        weights: name of embedded weights, or path of a checkpoint.
        devices: one process runs on each; a name may stand several times.
        config: how keypoints are chosen and described.
        job: how the job runs.
        pca: used in place of the one in the weights.
        dtype: of the stored descriptors, "float16" or "float32".
        given: settings of ``config`` that stand, the others give way to those published
            with the weights; None lets all of them stand.
    """

    entries: Sequence[ImageEntry]
    output: Path
    backend: str = "torch"
    weights: str = "delf-lite0"
    devices: tuple[str, ...] = ("auto",)
    config: ExtractConfig = field(default_factory=ExtractConfig)
    job: JobConfig = field(default_factory=JobConfig)
    pca: Pca | None = None
    dtype: str = "float16"
    given: frozenset[str] | None = None


@dataclass(frozen=True)
class JobSummary:
    """What a job did.

    Args:
        new: pictures of this run, those that could not be read among them.
        before: pictures that an earlier run had extracted.
        errors: why pictures could not be read, by name, earlier ones among them.
        seconds: duration of this run.
    """

    new: int
    before: int
    errors: dict[str, str]
    seconds: float

    def describe(self, output: Path) -> str:
        """Say it in a line, and a line for each broken picture."""
        done = f"{output}: {count_images(self.new)} in {self.seconds:.1f} s"
        earlier = f", {self.before} already done before" if self.before else ""
        broken = f", {len(self.errors)} could not be read" if self.errors else ""
        lines = [f"  {error}" for error in self.errors.values()]
        return "\n".join([done + earlier + broken, *lines])


def count_images(number: int) -> str:
    """Return "1 image", "2 images"."""
    return f"{number} image" + "s" * (number != 1)


def run_job(job: ExtractionJob, timed: Timed = untimed) -> JobSummary:
    """Extract every picture and write the feature file, in input order.

    A killed job leaves its journals beside the output and continues with ``resume``; it
    loses at most the pictures in hand (two batches). Pictures that could not be read
    are tried again. Several devices start processes that import the calling script:
    call this under ``if __name__ == "__main__":`` there.

    Args:
        job: what to do.
        timed: told of the stages, where there is one device.

    Raises:
        DelfError: the output or a journal exists and neither ``resume`` nor
            ``overwrite`` is set; resuming with other settings; a process died; a
            picture's name cannot be stored; another process writes the output.
        ImageError: a broken picture, if ``strict``.
    """
    check_job(job)
    with locked_output(job.output, "delf extract"):
        return run_alone(job, timed)


def run_alone(job: ExtractionJob, timed: Timed) -> JobSummary:
    """Run a job on an output that no other process touches."""
    started = time.monotonic()
    done = prepare_journals(job.output, job.job)
    earlier = find_earlier(job.output, job.job)
    if earlier is not None:
        with FeatureReader(earlier) as reader:
            done.update(reader.names())
    order = [entry.key for entry in job.entries]
    refuse_names([*done, *order])
    waiting = [entry for entry in job.entries if entry.key not in done]
    run_parts(job, waiting, earlier, timed)
    journals = find_journals(job.output)
    with timed(MERGE):
        errors = write_feature_file(
            job.output, order, journals, dtype=job.dtype, earlier=earlier
        )
    for path in journals:
        path.unlink()
    seconds = time.monotonic() - started
    return JobSummary(len(waiting), len(done), errors, seconds)


def check_job(job: ExtractionJob) -> None:
    """Refuse settings that cannot run, and an output that is already there.

    Raises:
        UsageError: names the setting, its value and its range.
        DelfError: the output exists, and the call does not say what to do with it.
    """
    if job.job.batch_size < 1:
        raise UsageError(f"--batch_size {job.job.batch_size}: must be above 0")
    if job.job.workers < 0:
        raise UsageError(f"--workers {job.job.workers}: must not be below 0")
    if job.job.resume and job.job.overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if job.output.is_dir():
        raise UsageError(f"--output {job.output} is a folder; name a file")
    refuse_existing(job.output, overwrite=job.job.overwrite, resume=job.job.resume)


def run_parts(
    job: ExtractionJob,
    waiting: Sequence[ImageEntry],
    earlier: Path | None,
    timed: Timed,
) -> None:
    """Share the pictures out among the devices, and wait for all of them."""
    count = max(1, min(len(job.devices), len(waiting)))
    work = [
        (job, waiting[i::count], job.devices[i], journal_path(job.output, i), earlier)
        for i in range(count)
    ]
    total = len(job.entries)
    first = total - len(waiting)
    with tqdm(
        total=total, initial=first, desc="extract", unit="image", disable=None
    ) as bar:
        if len(job.devices) == 1:
            extract_part(*work[0], bar.update, timed)
        else:
            run_in_processes(extract_part, work, bar.update)


def extract_part(
    job: ExtractionJob,
    entries: Sequence[ImageEntry],
    device: str,
    path: Path,
    earlier: Path | None,
    progress: Progress,
    timed: Timed = untimed,
) -> None:
    """Extract some of the pictures on one device into one journal.

    While the network runs on a batch, threads decode those that follow, and one
    selects, describes and writes the keypoints of the batch before.

    Raises:
        DelfError: a journal or the earlier file was made with other settings.
        ImageError: a broken picture, if ``strict``.
    """
    with timed(LOAD):
        network = load_backend(job.backend).load_network(job.weights, device)
        extractor = Extractor(network, job.config, job.pca, job.given)
    header = describe_run(job, extractor) | {ADDS: earlier is not None}
    refuse_mixture(find_journals(job.output), earlier, header, job.dtype)
    batch_size, limit = job.job.batch_size, job.config.max_image_pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    ahead = 2 * batch_size + 2
    pictures = decode_ahead(entries, limit, job.job.workers, ahead, timed)
    with Journal(path, header) as journal, Background() as behind:
        for batch in group_by_shape(pictures, batch_size):
            behind.run(partial(see(extractor, batch, job.job.strict, timed), journal))
            progress(len(batch))


def describe_run(job: ExtractionJob, extractor: Extractor) -> dict[str, Any]:
    """Everything that made the numbers, for the file's attributes."""
    info = extractor.network.info
    return {
        "weights": info.name,
        "weights_sha256": info.sha256,
        "backend": job.backend,
        "config": extractor.settings(),
        "dimension": extractor.dimension,
        "version": __version__,
    }
