# SPDX-License-Identifier: Apache-2.0
"""``delf match``: two photographs and a picture, or many pairs of a feature file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delf_common.cli.network import add_network_options, load_extractor
from delf_common.cli.parsing import CommandParser, Namespace, build
from delf_common.config import MatchConfig, VerifyConfig
from delf_common.errors import DelfError, UsageError

if TYPE_CHECKING:
    from delf_common.features import Features
    from delf_common.matching.matcher import ImageMatch
    from delf_common.protocols import Image


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "match",
        "Match two photographs, verify the matches geometrically, and draw them; or "
        "with --pairs match many pairs of a feature file into a matches file (HDF5, "
        "hloc's layout).",
        "delf match a.jpg b.jpg --output match.png",
    )
    command.add_argument(
        "images",
        nargs="*",
        help="two photographs, or a list_images.txt with two names, one a line",
    )
    command.add_argument(
        "--output",
        type=str,
        default=None,
        help="picture (PNG), or with --pairs the matches file",
    )
    command.add_argument(
        "--image_root", type=str, default=".", help="folder of the names in a list file"
    )
    command.add_argument(
        "--features", type=str, default=None, help="take features from this HDF5 file"
    )
    command.add_argument(
        "--pairs",
        type=str,
        default=None,
        help='list of pairs in --features, two names a line; or "all"',
    )
    command.add_argument(
        "--json", action="store_true", help="print matches and model as JSON"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace the picture if it exists"
    )
    command.add_config(MatchConfig)
    command.add_config(VerifyConfig)
    add_network_options(command)
    return command


def run(options: Namespace) -> None:
    """Match, print the counts, draw."""
    if options.pairs:
        return run_pairs(options)
    from delf_common.io.atomic import refuse_existing
    from delf_common.io.images import read_image
    from delf_common.matching.matcher import match

    first, second = find_pair(options.images, Path(options.image_root))
    if options.output:
        refuse_existing(Path(options.output), overwrite=options.overwrite)
    images = [
        read_image(p, max_pixels=options.max_image_pixels) for p in (first, second)
    ]
    features = pair_features(options, (first, second), images)
    match_config, verify_config = (
        build(MatchConfig, options),
        build(VerifyConfig, options),
    )
    result = match(features[0], features[1], match_config, verify_config)
    if options.output:
        from delf_common.matching.drawing import draw_match, save_picture

        picture = draw_match(images[0], images[1], features[0], features[1], result)
        save_picture(Path(options.output), picture)
    report(options, (first, second), features, result)
    return None


def run_pairs(options: Namespace) -> None:
    """Match the pairs of a feature file, and print the counts.

    Raises:
        UsageError: photographs are named too, or features or output are not.
    """
    from delf_common.io.atomic import refuse_existing
    from delf_common.matching.pairs import match_pairs

    if options.images or not options.features or not options.output:
        raise UsageError("--pairs needs --features and --output, and no photographs")
    output = Path(options.output)
    refuse_existing(output, overwrite=options.overwrite)
    done = match_pairs(
        Path(options.features),
        options.pairs,
        output,
        build(MatchConfig, options),
        build(VerifyConfig, options),
    )
    if options.json:
        print(json.dumps(dataclasses.asdict(done)))  # noqa: T201
        return
    print(  # noqa: T201
        f"{output}: {done.pairs} pairs, {done.verified} with a model; {done.matches} "
        f"matches, {done.inliers} inliers"
    )


def find_pair(arguments: list[str], image_root: Path) -> tuple[Path, Path]:
    """Return the two photographs; a list file names them with or without suffix.

    Raises:
        UsageError: there are not two.
        DelfError: a name of the list file is not found.
    """
    if len(arguments) == 2:
        return Path(arguments[0]), Path(arguments[1])
    if len(arguments) != 1 or not arguments[0].endswith(".txt"):
        raise UsageError(
            f"got {len(arguments)} photographs; give two, or one list file (.txt)"
        )
    names = Path(arguments[0]).read_text(encoding="utf-8").split("\n")
    names = [name.strip() for name in names if name.strip()]
    if len(names) != 2:
        raise UsageError(f"{arguments[0]} has {len(names)} names; a pair has two")
    return find_image(image_root, names[0]), find_image(image_root, names[1])


def find_image(image_root: Path, name: str) -> Path:
    """Find a photograph by name, or by name without its suffix."""
    from delf_common.io.image_list import find_named

    found = find_named(image_root, name)
    if found is not None:
        return found
    raise DelfError(f"{image_root / name}: no such photograph; see --image_root")


def pair_features(
    options: Namespace, paths: tuple[Path, Path], images: list[Image]
) -> list[Features]:
    """Extract from both photographs, or read their features from a file."""
    if options.features:
        from delf_common.io.feature_file import FeatureReader

        root = Path(options.image_root)
        with FeatureReader(Path(options.features)) as reader:
            return [reader.read(key_of(path, root)) for path in paths]
    extractor = load_extractor(options)
    return [extractor.extract_batch([image])[0] for image in images]


def key_of(path: Path, root: Path) -> str:
    """Name of a photograph in a feature file: its path below the image root."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name


def report(
    options: Namespace,
    paths: tuple[Path, Path],
    features: list[Features],
    result: ImageMatch,
) -> None:
    """Print the counts for people, or everything for machines."""
    keypoints = [len(f) for f in features]
    matches, inliers = len(result.matches.pairs), result.verification.num_inliers
    if not options.json:
        print(  # noqa: T201
            f"{paths[0].name} and {paths[1].name}: {keypoints[0]} and {keypoints[1]} "
            f"keypoints, {matches} matches, {inliers} inliers"
        )
        if options.output:
            print(f"picture: {options.output}")  # noqa: T201
        return
    model = result.verification.model
    document: dict[str, Any] = {
        "images": [str(path) for path in paths],
        "keypoints": keypoints,
        "inliers": inliers,
        "model_type": options.model,
        "model": None if model is None else model.tolist(),
        "matches": [
            {
                "keypoint0": features[0].keypoints[i].tolist(),
                "keypoint1": features[1].keypoints[j].tolist(),
                "distance": float(distance),
                "inlier": bool(inlier),
            }
            for (i, j), distance, inlier in zip(
                result.matches.pairs,
                result.matches.distances,
                result.verification.inliers,
                strict=True,
            )
        ],
    }
    print(json.dumps(document))  # noqa: T201
