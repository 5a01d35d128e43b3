# SPDX-License-Identifier: Apache-2.0
"""``delf parity``: do the installed backends see the same with these weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import ExtractConfig
from delf_common.errors import UsageError


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "parity",
        "Compare backends on your weights and your photograph, stage by stage: "
        "normalising and resizing, every block, features, attention, keypoints, "
        "descriptors. A difference is the largest one over the reference's largest "
        "value. Exits with 1 where one is past its limit, and names the first stage "
        "that is.",
        "delf parity --weights delf-lite0 --backends torch ms --image_scales 0.5,1 "
        "photograph.jpg",
    )
    command.add_argument("image", help="a photograph")
    command.add_argument(
        "--weights",
        type=str,
        default="delf-lite0",
        help="name of embedded weights, or path of a canonical checkpoint",
    )
    command.add_argument(
        "--backends",
        nargs="+",
        default=None,
        help="what to compare, the reference first: torch, ms, onnx, mindir, each also "
        "with a device as in torch:cuda:0 (default: all that are installed)",
    )
    command.add_argument(
        "--tolerance",
        type=float,
        default=None,
        help="limit for every stage (default: each stage's own, 1e-4 for most)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_config(ExtractConfig)
    return command


def run(options: Namespace) -> int:
    """Compare, print, and say by the exit code whether all agree."""
    import tempfile

    from delf_common.backends import installed_backends
    from delf_common.io.images import read_image
    from delf_common.parity.report import first_fault, format_report, judge
    from delf_common.parity.running import compare_backends, load_networks

    config = checked_config(options)
    backends = options.backends or installed_backends()
    image = read_image(options.image, max_pixels=config.max_image_pixels)
    with tempfile.TemporaryDirectory() as folder:
        networks = load_networks(options.weights, backends, Path(folder))
        found = compare_backends(networks, image, config, options.tolerance)
    judged = {name: judge(one, options.tolerance) for name, one in found.items()}
    agree = not any(map(first_fault, judged.values()))
    result: dict[str, Any] = {
        "weights": options.weights,
        "image": options.image,
        "reference": backends[0],
        "backends": judged,
        "agree": agree,
    }
    text = json.dumps(result) if options.json else format_report(backends[0], judged)
    print(text)  # noqa: T201
    return 0 if agree else 1


def checked_config(options: Namespace) -> ExtractConfig:
    """Settings of the extraction.

    Raises:
        UsageError: one makes keypoints depend on more than their own score, or the
            tolerance is not above 0.
    """
    config = build(ExtractConfig, options)
    if config.iou_threshold < 1:
        raise UsageError(
            f"--iou_threshold {config.iou_threshold}: keypoints are compared by their "
            f"scores, which suppression overrules; leave it at 1"
        )
    if options.tolerance is not None and not options.tolerance > 0:
        raise UsageError(f"--tolerance {options.tolerance}: must be above 0")
    return config
