# SPDX-License-Identifier: Apache-2.0
"""``delf search``: which photographs of an index show the query's place."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from delf_common.cli.network import add_network_options, load_extractor
from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import ExtractConfig, MatchConfig, SearchConfig, VerifyConfig
from delf_common.errors import ImageError, UsageError

if TYPE_CHECKING:
    from delf_common.extraction.extractor import Extractor
    from delf_common.protocols import Image
    from delf_common.retrieval.index import Index
    from delf_common.retrieval.search import Result

Region = tuple[float, float, float, float]


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "search",
        "Find the photographs of an index that show the query's place. The query is "
        "described with the settings the index was made with.",
        "delf search places.index query.jpg --picture results.png",
    )
    command.add_argument("index", type=str, help="made by delf index")
    command.add_argument("query", type=str, help="a photograph")
    command.add_argument(
        "--region",
        type=float,
        nargs=4,
        default=None,
        metavar=("X1", "Y1", "X2", "Y2"),
        help="search only for this box of the query, in pixels",
    )
    command.add_argument("--top", type=int, default=10, help="results shown")
    command.add_argument(
        "--picture", type=str, default=None, help="draw the query and its results (PNG)"
    )
    command.add_argument(
        "--image_root",
        type=str,
        default=None,
        help="folder of the index's photographs, if they moved",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--overwrite", action="store_true", help="replace the picture if it exists"
    )
    add_search_options(command)
    return command


def add_search_options(command: CommandParser, exported: bool = False) -> None:
    """Add the settings of search, matching, verification and the network.

    Args:
        command: its parser.
        exported: see `add_network_options`.
    """
    command.add_config(SearchConfig)
    command.add_config(MatchConfig)
    command.add_config(VerifyConfig)
    add_network_options(command, exported)


def run(options: Namespace) -> None:
    """Search, print the best, draw them."""
    from delf_common.io.atomic import refuse_existing
    from delf_common.io.images import crop_region, read_image
    from delf_common.retrieval.index import Index
    from delf_common.retrieval.search import search

    if options.top <= 0:
        raise UsageError(f"--top {options.top}: must be above 0")
    config = build(SearchConfig, options)
    if options.picture:
        refuse_existing(Path(options.picture), overwrite=options.overwrite)
    with Index(options.index) as index:
        photograph = read_image(
            Path(options.query), max_pixels=options.max_image_pixels
        )
        region: Region | None = tuple(options.region) if options.region else None
        image = crop_region(photograph, region) if region else photograph
        extractor = query_extractor(index, options)
        query = extractor.extract_batch([image])[0]
        results = search(
            index,
            query,
            build(MatchConfig, options),
            build(VerifyConfig, options),
            config,
        )[: options.top]
        report(options, len(query), results)
        if options.picture:
            draw(options, index, photograph, region, results)


def query_extractor(index: Index, options: Namespace) -> Extractor:
    """Load the network with the settings the index was made with.

    Raises:
        UsageError: weights or PCA are not those of the index, or the features came by
            ``delf interchange``.
    """
    made_with = index.info["config"]
    if not made_with:
        raise UsageError(
            f"{index.path} holds the features of another program "
            f"({index.info['weights']}), which no weights here make of a photograph"
        )
    for field in dataclasses.fields(ExtractConfig):
        # An index from before there was a setting was made with its default. Where
        # an index was made in bf16, queries in float32 find the same; a machine
        # without bf16 can search it.
        if field.name != "precision":
            setattr(options, field.name, made_with.get(field.name, field.default))
    if made_with["score_threshold"] is None:
        options.score_threshold = "none"
    options.image_scales = tuple(made_with["image_scales"])
    options.canvases = tuple(options.canvases)
    # What was published is among it.
    options.given = frozenset(made_with) | {"precision"}
    extractor = load_extractor(options)
    name, sha256 = index.info["weights"], index.info["weights_sha256"]
    if extractor.network.info.sha256 != sha256:
        raise UsageError(
            f"{index.path} was made with the weights {name} ({sha256[:12]}), not "
            f"{options.weights}; give them with --weights, or make the index again"
        )
    if extractor.settings()["pca_sha256"] != made_with["pca_sha256"]:
        raise UsageError(f"{index.path} was made with another PCA; give it with --pca")
    return extractor


def report(options: Namespace, keypoints: int, results: list[Result]) -> None:
    """Print the results, a line each, or JSON."""
    if options.json:
        rows = [dataclasses.asdict(result) for result in results]
        document = {"query": options.query, "keypoints": keypoints, "results": rows}
        print(json.dumps(document))  # noqa: T201
        return
    print(f"{options.query}: {keypoints} keypoints")  # noqa: T201
    for place, result in enumerate(results, start=1):
        print(  # noqa: T201
            f"{place:4d}. {result.name}  {result.inliers} inliers, {result.votes} votes"
        )


def draw(
    options: Namespace,
    index: Index,
    photograph: Image,
    region: Region | None,
    results: list[Result],
) -> None:
    """Save a picture of the query and its results, where their files can be read."""
    from delf_common.io.images import read_image
    from delf_common.matching.drawing import draw_results, save_picture

    root = Path(options.image_root or index.info["image_root"])
    pictures: list[tuple[Image, str]] = []
    for place, result in enumerate(results, start=1):
        try:
            image = read_image(root / result.name, max_pixels=options.max_image_pixels)
        except (ImageError, OSError) as error:
            raise UsageError(
                f"{root / result.name} cannot be shown ({error}); where did the "
                f"photographs go? --image_root"
            ) from None
        pictures.append((image, f"{place}. {result.name}  {result.inliers} inliers"))
    save_picture(Path(options.picture), draw_results(photograph, region, pictures))
    if not options.json:
        print(f"picture: {options.picture}")  # noqa: T201
