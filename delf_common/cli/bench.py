# SPDX-License-Identifier: Apache-2.0
"""``delf bench``: figures for the README, each from one command."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from delf_common.cli import bench_search
from delf_common.cli.network import add_network_options, load_extractor
from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import ExtractConfig, MatchConfig, VerifyConfig
from delf_common.errors import UsageError

BENCHES = (
    "verify",
    "match",
    "search",
    "extract",
    "network",
    "backends",
    "retrieval",
    "ablation",
    "homography",
    "pipeline",
    "train",
    "dataset",
    "startup",
)


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "bench",
        "Measure. verify: geometric verification beside scikit-image's RANSAC. "
        "match: descriptors of two images, beside the matrix product alone. search: "
        "votes in synthetic collections, exact, by codes and by faiss' flat index. "
        "extract: seconds by level, peak memory. network: the network alone beside "
        "plain PyTorch and onnxruntime, as a share of the matrix rate. backends: "
        "the same weights on PyTorch, MindSpore and onnxruntime. retrieval: mAP beside "
        "rootSIFT and a global descriptor. ablation: mAP with one setting changed. "
        "homography: inliers near the true homography. pipeline: photographs a second "
        "of the training pipeline, by workers. train: steps a second of both stages, "
        "beside the plainest loop. dataset: images a second of building shards, "
        "records a second of reading them. startup: whole calls from the shell.",
        "delf bench extract --repeats 5",
    )
    command.add_argument("name", choices=BENCHES, help="what to measure")
    command.add_argument("--repeats", type=int, default=5, help="rounds for medians")
    command.add_argument(
        "--images",
        type=str,
        default=None,
        help="retrieval, ablation: folder of photographs; "
        "homography: folder with pairs.json; extract, network: a photograph; "
        "backends: a photograph or a folder of them; "
        "pipeline: folder of photographs (default: synthetic); "
        "train, dataset: as train's --traindata_path (default: synthetic)",
    )
    command.add_argument(
        "--ground_truth",
        type=str,
        default=None,
        help="retrieval, ablation: a gnd.json",
    )
    command.add_argument(
        "--only",
        nargs="+",
        default=[],
        help="ablation: beginnings of the names of the rows (default: all)",
    )
    command.add_argument("--steps", type=int, default=12, help="train: of each run")
    command.add_argument(
        "--batch_size", type=int, default=16, help="train: photographs in a step"
    )
    command.add_argument(
        "--image_size", type=int, default=321, help="train: side of the crops"
    )
    command.add_argument(
        "--architecture",
        choices=("resnet50", "efficientnet_lite0"),
        default=None,
        help="train, network: random numbers instead of --weights",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    bench_search.add_search_bench_options(command)
    command.add_config(MatchConfig)
    command.add_config(VerifyConfig)
    add_network_options(command)
    return command


def run(options: Namespace) -> None:
    """Measure and print, with the machine and the versions."""
    if options.repeats < 1:
        raise UsageError(f"--repeats {options.repeats}: must be above 0")
    measure = {
        "verify": bench_search.verify,
        "match": bench_search.match,
        "search": bench_search.search,
        "extract": extract,
        "startup": startup,
        "network": network,
        "backends": backends,
        "retrieval": retrieval,
        "ablation": ablation,
        "homography": homography,
        "pipeline": pipeline,
        "dataset": dataset,
        "train": train,
    }[options.name]
    result, text = measure(options)
    machine = describe_machine()
    if options.json:
        print(json.dumps({"bench": options.name, "machine": machine, **result}))  # noqa: T201
        return
    print(text)  # noqa: T201
    print(", ".join(f"{key} {value}" for key, value in machine.items()))  # noqa: T201


Measured = tuple[dict[str, Any], str]


def extract(options: Namespace) -> Measured:
    """Extraction of one photograph."""
    from delf_common.bench.extract import format_table, run_extract_bench
    from delf_common.io.images import read_image

    image = None
    if options.images:
        image = read_image(Path(options.images), max_pixels=options.max_image_pixels)
    result = run_extract_bench(load_extractor(options), image, options.repeats)
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
            weights, image, config, options.repeats, Path(folder)
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


def retrieval(options: Namespace) -> Measured:
    """Retrieval on a folder of photographs with ground truth."""
    import tempfile

    from delf_common.bench.retrieval import format_table, run_retrieval_bench

    if not options.images or not options.ground_truth:
        raise UsageError("bench retrieval needs --images and --ground_truth")
    with tempfile.TemporaryDirectory() as folder:
        result = run_retrieval_bench(
            Path(options.ground_truth),
            Path(options.images),
            load_extractor(options),
            Path(folder),
            build(MatchConfig, options),
            build(VerifyConfig, options),
        )
    return result, format_table(result)


def ablation(options: Namespace) -> Measured:
    """Retrieval with one setting changed at a time."""
    import tempfile

    from delf_common.bench.ablation import choose, format_table, run_ablation
    from delf_common.bench.rescored import Remembering

    if not options.images or not options.ground_truth:
        raise UsageError("bench ablation needs --images and --ground_truth")
    variants = choose(options.only)
    extractor = load_extractor(options)
    extractor.network = Remembering(extractor.network)
    with tempfile.TemporaryDirectory() as folder:
        result = run_ablation(
            Path(options.ground_truth),
            Path(options.images),
            extractor,
            Path(folder),
            build(MatchConfig, options),
            build(VerifyConfig, options),
            variants,
        )
    return result, format_table(result)


def homography(options: Namespace) -> Measured:
    """Pairs of photographs with a known homography."""
    from delf_common.bench.homography import format_table, run_homography_bench

    if not options.images:
        raise UsageError("bench homography needs --images, a folder with pairs.json")
    result = run_homography_bench(
        Path(options.images),
        load_extractor(options),
        build(MatchConfig, options),
        build(VerifyConfig, options),
    )
    return result, format_table(result)


def pipeline(options: Namespace) -> Measured:
    """Training pipeline alone."""
    from delf_common.bench.pipeline import format_table, run_pipeline_bench

    folder = Path(options.images) if options.images else None
    result = run_pipeline_bench(folder, options.repeats)
    return result, format_table(result)


def train(options: Namespace) -> Measured:
    """Both stages of training."""
    from delf_common.bench.train import format_table, run_train_bench
    from delf_common.training.config import TrainConfig

    if options.steps < 6:
        raise UsageError(f"--steps {options.steps}: must be above 5")
    random = options.architecture is not None
    config = TrainConfig(
        traindata_path=options.images or "",
        imagenet_checkpoint="" if random else options.weights,
        architecture=options.architecture or "resnet50",
        max_iters=options.steps,
        batch_size=options.batch_size,
        image_size=options.image_size,
        device=options.device,
        initial_lr=0.001,
    )
    result = run_train_bench(config, options.backend, options.repeats)
    return result, format_table(result)


def dataset(options: Namespace) -> Measured:
    """Building shards and reading them."""
    from delf_common.bench.dataset import format_table, run_dataset_bench

    folder = Path(options.images) if options.images else None
    result = run_dataset_bench(folder, options.repeats)
    return result, format_table(result)


def describe_machine() -> dict[str, str]:
    """Processor count and versions that figures depend on."""
    import importlib.metadata
    import os

    packages = (
        "numpy",
        "opencv-python-headless",
        "scikit-image",
        "faiss-cpu",
        "torch",
        "mindspore",
        "onnxruntime",
    )
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor_name(),
        "cores": str(os.cpu_count()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "not set"),
        "Python": platform.python_version(),
        **versions,
    }


def processor_name() -> str:
    """Model of the processor, where the system says it; else its architecture."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
