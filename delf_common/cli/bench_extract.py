# SPDX-License-Identifier: Apache-2.0
"""The part of ``delf bench`` about extraction and the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delf_common.cli.bench_search import read_sizes
from delf_common.cli.network import load_extractor, load_pca
from delf_common.cli.parsing import CommandParser, Namespace, NetworkOptions, build
from delf_common.config import ExtractConfig, JobConfig
from delf_common.errors import UsageError

Measured = tuple[dict[str, Any], str]


def add_job_bench_options(command: CommandParser) -> None:
    """Add what the job is run over, and with."""
    command.add_argument(
        "--image_side",
        type=int,
        default=1024,
        help="job: longer side of the photographs, where --images does not name any",
    )
    command.add_argument(
        "--workers", type=int, default=JobConfig.workers, help="job: decoding threads"
    )


def extract(options: Namespace) -> Measured:
    """Extraction of one photograph."""
    from delf_common.bench.extract import format_table, run_extract_bench
    from delf_common.io.images import read_image

    image = None
    if options.images:
        image = read_image(Path(options.images), max_pixels=options.max_image_pixels)
    result = run_extract_bench(load_extractor(options), image, options.repeats)
    return result, format_table(result)


def job(options: Namespace) -> Measured:
    """The job of ``delf extract``, over photographs repeated under other names."""
    import tempfile

    from delf_common.bench.job import format_table, run_job_bench, save_photographs
    from delf_common.extraction.job import ExtractionJob
    from delf_common.io.image_list import list_images

    count, *_ = read_sizes(options, "60")
    if options.image_side < 32:
        raise UsageError(f"--image_side {options.image_side}: must be above 31")
    chosen = build(NetworkOptions, options)
    if "," in chosen.device:
        raise UsageError(f"--device {chosen.device}: this command runs on one device")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = ExtractionJob(
            list_images([options.images])
            if options.images
            else save_photographs(folder, options.image_side),
            folder / "features.h5",
            backend=chosen.backend,
            weights=chosen.weights,
            devices=(chosen.device,),
            config=build(ExtractConfig, options),
            job=JobConfig(workers=options.workers),
            pca=load_pca(options),
            given=options.given,
        )
        result = run_job_bench(measured, count)
    return result, format_table(result)


def network(options: Namespace) -> Measured:
    """The network alone over one photograph's pyramid, every runtime in turn."""
    import tempfile

    from delf_common.bench import network as bench
    from delf_common.bench.extract import default_image
    from delf_common.io.images import read_image

    image, limit = default_image(), options.max_image_pixels
    if options.images:
        image = read_image(Path(options.images), max_pixels=limit)
    if options.architecture not in (None, "resnet50"):
        raise UsageError("bench network knows --architecture resnet50, or --weights")
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights
        if options.architecture:
            weights = str(bench.random_resnet(Path(folder)))
        config = build(ExtractConfig, options)
        result = bench.run_network_bench(
            weights,
            image,
            config,
            options.repeats,
            Path(folder),
            options.device,
            options.batch_size or 1,
        )
    return result, bench.format_table(result)


def startup(options: Namespace) -> Measured:
    """Whole calls, from the shell to the answer."""
    import tempfile

    from delf_common.bench.startup import format_table, run_startup_bench

    with tempfile.TemporaryDirectory() as folder:
        result = run_startup_bench(Path(folder), options.repeats)
    return result, format_table(result)


def backends(options: Namespace) -> Measured:
    """Every installed runtime on the same photographs."""
    import tempfile

    from delf_common.bench.backends import format_table, run_backends_bench
    from delf_common.bench.extract import default_image
    from delf_common.io.image_list import list_images
    from delf_common.io.images import read_image

    images, limit = [default_image()], options.max_image_pixels
    if options.images:
        entries = list_images([options.images])
        images = [read_image(entry.path, max_pixels=limit) for entry in entries]
    config = build(ExtractConfig, options)
    with tempfile.TemporaryDirectory() as folder:
        result = run_backends_bench(
            options.weights, images, config, options.repeats, Path(folder)
        )
    return result, format_table(result)
