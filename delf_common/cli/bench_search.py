# SPDX-License-Identifier: Apache-2.0
"""The part of ``delf bench`` about matching, verification and search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import SearchConfig
from delf_common.errors import UsageError

Measured = tuple[dict[str, Any], str]


def add_search_bench_options(command: CommandParser) -> None:
    """Add the sizes of what is measured."""
    command.add_argument(
        "--sizes",
        type=str,
        default=None,
        help="search: images of the collections, with commas (default 100,200); match: "
        "descriptors of an image (1000); verify: pairs of each kind (20); job: images "
        "in all (60)",
    )
    command.add_argument(
        "--descriptors", type=int, default=200, help="search: of a database image"
    )
    command.add_argument(
        "--queries", type=int, default=5, help="search: of each collection"
    )
    command.add_config(SearchConfig)


def read_sizes(options: Namespace, default: str) -> list[int]:
    """Read ``--sizes``.

    Raises:
        UsageError: it is not whole numbers above 0.
    """
    text = options.sizes or default
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise UsageError(f"--sizes {text}: give whole numbers above 0, as in 100,200")
    return sizes


def verify(options: Namespace) -> Measured:
    """Geometric verification on synthetic pairs."""
    from delf_common.bench.verify import format_table, run_verify_bench

    pairs, *_ = read_sizes(options, "20")
    result = run_verify_bench(pairs, options.repeats)
    return result, format_table(result)


def match(options: Namespace) -> Measured:
    """Matching of two images' descriptors."""
    from delf_common.bench.match import format_table, run_match_bench

    count, *_ = read_sizes(options, "1000")
    result = run_match_bench(count, options.repeats)
    return result, format_table(result)


def search(options: Namespace) -> Measured:
    """Search of synthetic collections; the files are made in a temporary folder."""
    import tempfile

    from delf_common.bench.search import run_search_bench
    from delf_common.bench.search_text import format_table

    if options.descriptors < 10 or options.queries < 1:
        raise UsageError(
            f"--descriptors {options.descriptors} must be above 9, and --queries "
            f"{options.queries} above 0"
        )
    with tempfile.TemporaryDirectory() as folder:
        result = run_search_bench(
            read_sizes(options, "100,200"),
            options.descriptors,
            options.queries,
            options.repeats,
            build(SearchConfig, options),
            Path(folder),
        )
    return result, format_table(result)
