# SPDX-License-Identifier: Apache-2.0
"""``delf extract``: a folder of photographs into one feature file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from delf_common.cli.network import add_network_options, load_extractor, load_pca
from delf_common.cli.parsing import CommandParser, Namespace, NetworkOptions, build
from delf_common.config import ExtractConfig, JobConfig
from delf_common.errors import UsageError

if TYPE_CHECKING:
    from delf_common.extraction.job import ExtractionJob
    from delf_common.io.image_list import ImageEntry


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "extract",
        "Extract keypoints and descriptors into one HDF5 file (hloc's layout).",
        "delf extract photographs/ --output features.h5",
    )
    add_inputs(command)
    command.add_argument(
        "--output", type=str, default=None, help="the HDF5 file of features"
    )
    command.add_argument(
        "--heatmap",
        type=str,
        default=None,
        help="picture (.png, .jpg) of the attention over the photograph, of which "
        "there must be one; --output may then be left out",
    )
    add_job_options(command)
    add_network_options(command)
    return command


def add_inputs(command: CommandParser) -> None:
    """Add the positional photographs and the root of their names."""
    command.add_argument(
        "images",
        nargs="+",
        help="folders, photographs, or list files (.txt, one path a line)",
    )
    command.add_argument(
        "--image_root",
        type=str,
        default=None,
        help="folder that the images' names are relative to",
    )


def add_job_options(command: CommandParser) -> None:
    """Add the options of a batch job."""
    command.add_config(JobConfig)
    command.add_argument(
        "--descriptor_dtype",
        choices=["float16", "float32"],
        default="float16",
        help="type of the stored descriptors",
    )


def run(options: Namespace) -> None:
    """Extract, and say what was done.

    Raises:
        UsageError: neither an output nor a heatmap, or a heatmap of several.
    """
    if not options.output and not options.heatmap:
        raise UsageError("--output is missing: the HDF5 file of features")
    from delf_common.extraction.job import run_job
    from delf_common.io.image_list import list_images

    root = Path(options.image_root) if options.image_root else None
    entries = list_images(options.images, root)
    if options.heatmap:
        draw_heatmap(options, entries)
    if options.output:
        job = make_job(options, entries, Path(options.output))
        print(run_job(job).describe(job.output))  # noqa: T201


def draw_heatmap(options: Namespace, entries: Sequence[ImageEntry]) -> None:
    """Draw the attention over the one photograph that there is."""
    from delf_common.extraction.heatmap import write_heatmap
    from delf_common.io.images import read_image

    if len(entries) != 1:
        raise UsageError(f"--heatmap shows one photograph, not {len(entries)}")
    extractor = load_extractor(options)
    limit = extractor.config.max_image_pixels
    image = read_image(entries[0].path, max_pixels=limit)
    write_heatmap(extractor.network, image, Path(options.heatmap))
    print(options.heatmap)  # noqa: T201


def make_job(
    options: Namespace, entries: Sequence[ImageEntry], output: Path
) -> ExtractionJob:
    """Turn the options of `add_job_options` and of the network into a job."""
    from delf_common.extraction.job import ExtractionJob

    network = build(NetworkOptions, options)
    return ExtractionJob(
        entries=entries,
        output=output,
        backend=network.backend,
        weights=network.weights,
        devices=tuple(network.device.split(",")),
        config=build(ExtractConfig, options),
        job=build(JobConfig, options),
        pca=load_pca(options),
        dtype=options.descriptor_dtype,
        given=options.given,
    )
