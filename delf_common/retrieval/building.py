# SPDX-License-Identifier: Apache-2.0
"""Make an index from photographs or from a feature file, or add to one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from delf_common.backends import load_backend
from delf_common.config import CodesConfig
from delf_common.errors import DelfError, UsageError
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.job import ExtractionJob, describe_run, run_job
from delf_common.features import Features
from delf_common.io.atomic import refuse_existing
from delf_common.io.feature_file import FeatureReader
from delf_common.io.image_list import ImageEntry, list_images
from delf_common.io.settings import changed_settings
from delf_common.retrieval.coder import Coder
from delf_common.retrieval.index import Index, extend_index, write_index

FEATURE_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class IndexSummary:
    """What an index holds after it was made; ``codes`` describes its codes, if any."""

    path: Path
    images: int
    new: int
    errors: dict[str, str]
    codes: str = ""

    def __str__(self) -> str:
        """Say it in a line, and a line for each broken picture."""
        head = f"{self.path}: {self.images} images, {self.new} of them new{self.codes}"
        return "\n".join([head, *(f"  skipped {e}" for e in self.errors.values())])


def build_index(
    inputs: Sequence[str],
    image_root: Path | None,
    output: Path,
    add: bool,
    job: ExtractionJob,
    codes: CodesConfig | None = None,
) -> IndexSummary:
    """Write an index of photographs, or of the one feature file given.

    Features of photographs are extracted into a file beside the output, which makes an
    interrupted job continue with ``--resume``, and is removed at the end.

    Args:
        inputs: folders, photographs, list files; or one feature file.
        image_root: folder that names are relative to.
        output: the index.
        add: keep what the index holds and add what is new.
        job: how to extract; its pictures and its output are filled in here.
        codes: whether and how to code the index for a fast search.

    Raises:
        UsageError: there is no index to add to.
        DelfError: the output exists, or was made with other weights or settings; or
            codes cannot be made.
    """
    codes = codes or CodesConfig()
    if add and not output.exists():
        raise UsageError(f"--add: there is no index {output}; leave --add away")
    coder = Coder(output, codes, add)
    if len(inputs) == 1 and inputs[0].endswith(FEATURE_SUFFIXES):
        if not add:
            refuse_existing(output, overwrite=job.job.overwrite)
        summary = _write(output, Path(inputs[0]), image_root or Path(), add)
        return replace(summary, codes=coder.run(summary.new))
    entries = list_images(inputs, image_root)
    root = _root_of(entries[0])
    features = output.with_name(f"{output.name}.features.h5")
    if add:
        with Index(output) as index:
            entries = [entry for entry in entries if entry.key not in index]
            if not entries:
                return IndexSummary(output, len(index), 0, {}, coder.run(0))
            check_same(output, index.info, describe_job(job))
    else:
        refuse_existing(output, overwrite=job.job.overwrite, resume=job.job.resume)
    run_job(replace(job, entries=entries, output=features))
    summary = _write(output, features, root, add)
    features.unlink()
    return replace(summary, codes=coder.run(summary.new))


def describe_job(job: ExtractionJob) -> dict[str, Any]:
    """Say what the job's features will be made with, before any is extracted."""
    network = load_backend(job.backend).load_network(job.weights, job.devices[0])
    extractor = Extractor(network, job.config, job.pca, job.given)
    made: dict[str, Any] = json.loads(json.dumps(describe_run(job, extractor)))
    return made  # lists, as an index's JSON has them


def _root_of(entry: ImageEntry) -> Path:
    """Folder that an entry's key is relative to; a link counts where it lies."""
    return entry.path.parents[entry.key.count("/")]


def _write(output: Path, features: Path, root: Path, add: bool) -> IndexSummary:
    """Write the index from a feature file, after what it held if ``add``."""
    with FeatureReader(features) as reader:
        new = reader.names()
        info = {**reader.info, "image_root": str(root.resolve())}
        dtype = str(reader.descriptor_dtype)
        dimension = reader.dimension
        if not add:
            total = write_index(output, _read_all(reader, new), info, dimension, dtype)
            return IndexSummary(output, total, len(new), reader.errors())
        with Index(output) as old:
            check_same(output, old.info, info)
            new = [name for name in new if name not in old]
        total = extend_index(output, _read_all(reader, new)) if new else len(old)
        return IndexSummary(output, total, len(new), reader.errors())


def check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to mix features of different weights, backends or settings.

    Raises:
        DelfError: names what differs.
    """
    changed = changed_settings(old, new, ("weights_sha256", "backend"))
    differences = [
        f"{name} {there!r} there, {here!r} here"
        for name, (there, here) in changed.items()
    ]
    if differences:
        raise DelfError(
            f"{path} was made differently: {'; '.join(differences)}. Use the same "
            f"settings, or make a new index"
        )


def _read_all(
    source: FeatureReader, names: Sequence[str]
) -> Iterator[tuple[str, Features]]:
    """Read one image after the other."""
    for name in names:
        yield name, source.read(name)
