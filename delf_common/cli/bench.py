# SPDX-License-Identifier: Apache-2.0
"""``delf bench``: figures for the README, each from one command."""

from __future__ import annotations

import json

from delf_common.cli import bench_extract, bench_retrieval, bench_search, bench_train
from delf_common.cli.machine import describe_machine
from delf_common.cli.network import add_network_options
from delf_common.cli.parsing import CommandParser, Namespace
from delf_common.config import MatchConfig, VerifyConfig
from delf_common.errors import UsageError

BENCHES = (
    "verify",
    "match",
    "search",
    "extract",
    "job",
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
        "extract: seconds by level, peak memory. job: delf extract over a folder, by "
        "stage, with its memory. network: the network alone beside "
        "plain PyTorch and onnxruntime, as a share of the matrix rate. backends: "
        "the same weights on PyTorch, MindSpore and onnxruntime. retrieval: mAP beside "
        "rootSIFT and a global descriptor. ablation: mAP with one setting changed. "
        "homography: inliers near the true homography. pipeline: photographs a second "
        "of the training pipeline, by workers. train: steps a second of both stages, "
        "beside the plainest loop, the matrix rate and what the pipeline delivers. "
        "dataset: images a second of building shards, "
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
        "backends: a photograph or a folder of them; job: a folder; "
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
        "--batch_size",
        type=int,
        default=None,
        help="train: photographs in a step (default: 16); "
        "network: copies that go through together (default: 1)",
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
    bench_extract.add_job_bench_options(command)
    command.add_config(MatchConfig)
    command.add_config(VerifyConfig)
    add_network_options(command)
    return command


def run(options: Namespace) -> None:
    """Measure and print, with the machine and the versions."""
    if options.repeats < 1:
        raise UsageError(f"--repeats {options.repeats}: must be above 0")
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch_size {options.batch_size}: must be above 0")
    measure = {
        "verify": bench_search.verify,
        "match": bench_search.match,
        "search": bench_search.search,
        "extract": bench_extract.extract,
        "job": bench_extract.job,
        "startup": bench_extract.startup,
        "network": bench_extract.network,
        "backends": bench_extract.backends,
        "retrieval": bench_retrieval.retrieval,
        "ablation": bench_retrieval.ablation,
        "homography": bench_retrieval.homography,
        "pipeline": bench_train.pipeline,
        "dataset": bench_train.dataset,
        "train": bench_train.train,
    }[options.name]
    result, text = measure(options)
    machine = describe_machine()
    if options.json:
        print(json.dumps({"bench": options.name, "machine": machine, **result}))  # noqa: T201
        return
    print(text)  # noqa: T201
    print(", ".join(f"{key} {value}" for key, value in machine.items()))  # noqa: T201
