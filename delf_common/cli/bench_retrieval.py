# SPDX-License-Identifier: Apache-2.0
"""The part of ``delf bench`` about retrieval and true homographies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delf_common.cli.network import load_extractor
from delf_common.cli.parsing import Namespace, build
from delf_common.config import MatchConfig, VerifyConfig
from delf_common.errors import UsageError

Measured = tuple[dict[str, Any], str]


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
