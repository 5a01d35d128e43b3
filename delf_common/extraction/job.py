# SPDX-License-Identifier: Apache-2.0
"""Extraction of a whole collection: decode, run the network, keep a journal, merge."""

from __future__ import annotations

import glob
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from delf_common import __version__
from delf_common.backends import load_backend
from delf_common.config import ExtractConfig, JobConfig
from delf_common.errors import DelfError, ImageError, UsageError
from delf_common.extraction.batches import Decoded, decode_ahead, group_by_shape
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.processes import run_in_processes
from delf_common.io.atomic import refuse_existing
from delf_common.io.feature_file import FeatureReader
from delf_common.io.image_list import ImageEntry
from delf_common.io.journal import Journal
from delf_common.io.merging import write_feature_file
from delf_common.weights.metadata import Pca

Progress = Callable[[int], Any]


@dataclass(frozen=True)
class ExtractionJob:
    """What to extract, with what, to where.

    Args:
        entries: the pictures, in output order.
        output: the feature file.
        backend: "torch" or "ms".
        weights: name of embedded weights, or path of a checkpoint.
        devices: one process runs on each; a name may stand several times.
        config: how keypoints are chosen and described.
        job: how the job runs.
        pca: used in place of the one in the weights.
        dtype: of the stored descriptors, "float16" or "float32".
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


@dataclass(frozen=True)
class JobSummary:
    """What a job did: names of new pictures, of earlier ones, and errors by name."""

    new: int
    before: int
    errors: dict[str, str]
    seconds: float

    def describe(self, output: Path) -> str:
        """Say it in a line, and a line for each broken picture."""
        done = f"{output}: {self.new} images in {self.seconds:.1f} s"
        earlier = f", {self.before} were there before" if self.before else ""
        broken = f", {len(self.errors)} could not be read" if self.errors else ""
        lines = [f"  {error}" for error in self.errors.values()]
        return "\n".join([done + earlier + broken, *lines])


def run_job(job: ExtractionJob) -> JobSummary:
    """Extract every picture and write the feature file, in input order.

    A killed job leaves its journals beside the output and continues with ``resume``; it
    loses at most the pictures in hand.

    Raises:
        DelfError: the output or a journal exists and neither ``resume`` nor
            ``overwrite`` is set; resuming with other settings; a process died.
        ImageError: a broken picture, if ``strict``.
    """
    started = time.monotonic()
    check_job(job)
    refuse_existing(job.output, overwrite=job.job.overwrite, resume=job.job.resume)
    earlier = job.output if job.job.resume and job.output.exists() else None
    done = prepare_journals(job)
    before = set(done)
    if earlier is not None:
        with FeatureReader(earlier) as reader:
            before.update(reader.names(), reader.errors())
    waiting = [entry for entry in job.entries if entry.key not in before]
    bar = tqdm(
        total=len(job.entries),
        initial=len(job.entries) - len(waiting),
        desc="extract",
        unit="image",
        disable=None,
    )
    with bar:
        parts = [waiting[i :: len(job.devices)] for i in range(len(job.devices))]
        paths = [journal_path(job.output, i) for i in range(len(job.devices))]
        work = list(zip([job] * len(parts), parts, job.devices, paths, strict=True))
        if len(work) == 1:
            extract_part(*work[0], bar.update)
        else:
            run_in_processes(extract_part, work, bar.update)
    errors = write_feature_file(
        job.output,
        [entry.key for entry in job.entries],
        find_journals(job.output),
        dtype=job.dtype,
        earlier=earlier,
    )
    for path in find_journals(job.output):
        path.unlink()
    seconds = time.monotonic() - started
    return JobSummary(len(waiting), len(before), errors, seconds)


def check_job(job: ExtractionJob) -> None:
    """Refuse settings that cannot run.

    Raises:
        UsageError: names the setting, its value and its range.
    """
    if job.job.batch_size < 1:
        raise UsageError(f"--batch_size {job.job.batch_size}: must be above 0")
    if job.job.workers < 0:
        raise UsageError(f"--workers {job.job.workers}: must not be below 0")
    if job.job.resume and job.job.overwrite:
        raise UsageError("--resume and --overwrite exclude each other")


def journal_path(output: Path, part: int) -> Path:
    """Journal of one device's process."""
    return output.with_name(f"{output.name}.journal.{part}")


def find_journals(output: Path) -> list[Path]:
    """Journals that lie beside an output, of this run or an earlier one."""
    return sorted(output.parent.glob(f"{glob.escape(output.name)}.journal.*"))


def prepare_journals(job: ExtractionJob) -> set[str]:
    """Read what an interrupted run left, or remove it.

    Returns:
        Names of the pictures that are done.

    Raises:
        DelfError: there are journals, and the call does not say what to do with them.
    """
    left = find_journals(job.output)
    if left and not (job.job.resume or job.job.overwrite):
        raise DelfError(
            f"{left[0]} was left by an interrupted run: continue it with --resume, or "
            f"begin again with --overwrite"
        )
    if job.job.overwrite:
        for path in left:
            path.unlink()
        return set()
    return {name for path in left for name in Journal.recover(path)}


def extract_part(
    job: ExtractionJob,
    entries: Sequence[ImageEntry],
    device: str,
    path: Path,
    progress: Progress,
) -> None:
    """Extract some of the pictures on one device into one journal."""
    network = load_backend(job.backend).load_network(job.weights, device)
    extractor = Extractor(network, job.config, job.pca)
    batch_size, limit = job.job.batch_size, job.config.max_image_pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = decode_ahead(entries, limit, job.job.workers, ahead=2 * batch_size + 2)
    with Journal(path, describe_run(job, extractor)) as journal:
        for batch in group_by_shape(pictures, batch_size):
            record(journal, extractor, batch, strict=job.job.strict)
            progress(len(batch))


def record(
    journal: Journal, extractor: Extractor, batch: Sequence[Decoded], *, strict: bool
) -> None:
    """Extract one batch and write its features, or the error of a broken picture.

    Raises:
        ImageError: the picture is broken and ``strict`` is set.
    """
    images = [picture.image for picture in batch if picture.image is not None]
    if not images:
        if strict:
            raise ImageError(f"{batch[0].error} (stopped by --strict)")
        tqdm.write(f"skipped: {batch[0].error}", file=sys.stderr)
        journal.append(batch[0].key, batch[0].error)
        return
    for picture, features in zip(batch, extractor.extract_batch(images), strict=True):
        journal.append(picture.key, features)


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
