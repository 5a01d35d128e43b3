# SPDX-License-Identifier: Apache-2.0
"""``delf evaluate``: search for every query of a benchmark, and score the rankings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.cli.search import add_search_options, query_extractor
from delf_common.config import MatchConfig, SearchConfig, VerifyConfig
from delf_common.errors import UsageError

if TYPE_CHECKING:
    from delf_common.retrieval.protocols import Protocol
    from delf_common.retrieval.queries import GroundTruth
    from delf_common.retrieval.rankings import Rankings


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "evaluate",
        "Score an index, or anyone's rankings, by a benchmark's protocol: mAP, mP@k, "
        "mR@k. Ground truth is a folder of Oxford5k/Paris6k text files, a revisited "
        "gnd_*.pkl, or a gnd.json.",
        "delf evaluate --ground_truth demo/gnd.json --index demo.index",
    )
    command.add_argument(
        "--ground_truth", type=str, required=True, help="folder, gnd_*.pkl or gnd.json"
    )
    command.add_argument(
        "--protocol",
        type=str,
        default=None,
        help="classic, revisited, mindspore-zoo or minibench (default: what fits the "
        "ground truth)",
    )
    command.add_argument(
        "--index", type=str, default=None, help="search this index for every query"
    )
    command.add_argument(
        "--images",
        type=str,
        default=None,
        help="folder of the queries' pictures, where they are cropped or not indexed",
    )
    command.add_argument(
        "--rankings",
        type=str,
        default=None,
        help="score these rankings instead (.json, .npy or text)",
    )
    command.add_argument(
        "--save_rankings", type=str, default=None, help="write the rankings as JSON"
    )
    command.add_argument(
        "--output",
        type=str,
        default=None,
        help="folder for metrics.json and mAP.txt (the original's text form)",
    )
    command.add_argument(
        "--per_query", action="store_true", help="print every query's figures too"
    )
    command.add_argument(
        "--distractors",
        action="store_true",
        help="allow database images that the ground truth does not know",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--overwrite", action="store_true", help="replace outputs that exist"
    )
    add_search_options(command)
    return command


def run(options: Namespace) -> None:
    """Rank or read rankings, score, print, save."""
    from delf_common.io.atomic import refuse_existing, write_text
    from delf_common.retrieval.evaluation import evaluate_rankings
    from delf_common.retrieval.ground_truth import read_ground_truth
    from delf_common.retrieval.metrics_text import metrics_text
    from delf_common.retrieval.protocols import find_protocol
    from delf_common.retrieval.rankings import read_rankings, write_rankings
    from delf_common.retrieval.report import table, to_json

    if bool(options.index) == bool(options.rankings):
        raise UsageError("give either --index to search, or --rankings to score")
    for folder, name in ((options.output, "metrics.json"), (options.save_rankings, "")):
        if folder:
            refuse_existing(Path(folder, name), overwrite=options.overwrite)
    ground_truth = read_ground_truth(options.ground_truth)
    protocol = find_protocol(options.protocol, ground_truth)
    if options.rankings:
        rankings = read_rankings(options.rankings, ground_truth)
    else:
        rankings = search_all(options, ground_truth, protocol)
    if options.save_rankings:
        path = Path(options.save_rankings)
        write_rankings(path, rankings, overwrite=options.overwrite)
    evaluation = evaluate_rankings(
        ground_truth,
        rankings.lists,
        protocol,
        cropped=rankings.cropped,
        distractors=options.distractors,
    )
    document = to_json(evaluation, per_query=True)
    document["metadata"] = dict(rankings.metadata)
    if options.output:
        text = json.dumps(document, indent=1) + "\n"
        write_text(Path(options.output, "metrics.json"), text)
        write_text(Path(options.output, "mAP.txt"), metrics_text(evaluation))
    shown = json.dumps(document) if options.json else None
    print(shown or table(evaluation, per_query=options.per_query))  # noqa: T201


def search_all(
    options: Namespace, ground_truth: GroundTruth, protocol: Protocol
) -> Rankings:
    """Search the index for every query, and say how in the metadata."""
    import dataclasses

    from delf_common.retrieval.index import Index
    from delf_common.retrieval.ranking import rank_queries
    from delf_common.retrieval.rankings import Rankings

    configs = (
        build(MatchConfig, options),
        build(VerifyConfig, options),
        build(SearchConfig, options),
    )
    with Index(options.index) as index:
        answers = rank_queries(
            index,
            ground_truth,
            protocol,
            Path(options.images) if options.images else None,
            lambda: query_extractor(index, options),
            *configs,
        )
        settings = {
            type(config).__name__: dataclasses.asdict(config) for config in configs
        }
        regions = any(query.region is not None for query in ground_truth.queries)
        metadata = {
            "cropped": protocol.crop and regions,
            "index": index.info,
            **settings,
        }
    return Rankings(
        {query: [r.name for r in results] for query, results in answers.items()},
        {query: [r.votes for r in results] for query, results in answers.items()},
        {query: [r.inliers for r in results] for query, results in answers.items()},
        metadata,
    )
