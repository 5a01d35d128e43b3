# SPDX-License-Identifier: Apache-2.0
"""``delf interchange``: features and matches for other programs, and from them."""

from __future__ import annotations

from pathlib import Path

from delf_common.cli.parsing import CommandParser, Namespace
from delf_common.errors import UsageError

FORMATS = ("hloc", "colmap", "kapture", "delf", "npz", "datum", "npy")

NOTE = (
    "note: the two-view geometries are inliers of a plane's model; for a "
    "reconstruction use --matches_only, and COLMAP's geometric_verifier"
)


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "interchange",
        "Carry features and matches from one format to another. Read and written: "
        "hloc's two HDF5 files (the form delf extract writes), a COLMAP database, a "
        "kapture folder, folders of TensorFlow's .delf files and of the original's "
        "four .npz files an image; and single arrays, .datum and .npy. What a source "
        "is, is seen from its contents.",
        "delf interchange features.h5 matches.h5 --to colmap --output scene.db",
    )
    command.add_argument(
        "sources",
        nargs="+",
        help="a file or folder; hloc's features file may have its matches file after "
        "it; of arrays any number",
    )
    command.add_argument("--to", choices=FORMATS, required=True, help="what to write")
    command.add_argument(
        "--output",
        nargs="+",
        required=True,
        help="file or folder to write; for hloc a features file and, if the matches "
        "are wanted, a matches file; of arrays one for each source",
    )
    command.add_argument(
        "--image_root",
        type=str,
        default=None,
        help="folder of the photographs, for sources that do not know their sizes "
        "(.delf, .npz, some of hloc's)",
    )
    command.add_argument(
        "--feature_type",
        type=str,
        default=None,
        help="name of the features in a kapture folder (written: delf)",
    )
    command.add_argument(
        "--matches_only",
        action="store_true",
        help="colmap: write no two-view geometries, so that COLMAP verifies the "
        "matches itself, as a reconstruction needs",
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace the output if it exists"
    )
    return command


def run(options: Namespace) -> None:
    """Carry over, print what went where and what has no place there."""
    from delf_common.io.interchange import interchange

    sources = [Path(name) for name in options.sources]
    targets = [Path(name) for name in options.output]
    if options.matches_only and options.to != "colmap":
        raise UsageError("--matches_only is for --to colmap")
    if options.to in ("datum", "npy"):
        return convert_arrays(options, sources, targets)
    done = interchange(
        sources,
        options.to,
        targets,
        image_root=Path(options.image_root) if options.image_root else None,
        feature_type=options.feature_type,
        matches_only=options.matches_only,
        overwrite=options.overwrite,
    )
    where = " and ".join(map(str, targets))
    print(  # noqa: T201
        f"{done.source} -> {options.to}: features of {done.images} images, "
        f"{done.pairs} pairs: {where}"
    )
    if done.left_out:
        print(f"not carried over: {done.left_out}")  # noqa: T201
    if options.to == "colmap" and done.pairs and not options.matches_only:
        print(NOTE)  # noqa: T201
    return None


def convert_arrays(
    options: Namespace, sources: list[Path], targets: list[Path]
) -> None:
    """Copy arrays, a line for each.

    Raises:
        UsageError: there are not as many outputs as sources, or one has another suffix.
    """
    from delf_common.io.arrays import convert_array
    from delf_common.io.atomic import refuse_existing

    if len(sources) != len(targets):
        raise UsageError(f"{len(sources)} arrays need as many --output files")
    for source, target in zip(sources, targets, strict=True):
        if target.suffix != f".{options.to}":
            raise UsageError(f"{target}: --to {options.to} writes .{options.to} files")
        refuse_existing(target, overwrite=options.overwrite)
        print(f"{target}: {convert_array(source, target)}")  # noqa: T201
