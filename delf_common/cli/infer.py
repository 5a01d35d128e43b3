# SPDX-License-Identifier: Apache-2.0
"""``delf infer``: pair matching and retrieval from one exported file, for deployments.

The two commands of the original's Ascend 310 scripts. Each is one process: nothing is
handed over in files, so that nothing is polled for or read half-written.
"""

from __future__ import annotations

from pathlib import Path

from delf_common.cli.extract import add_job_options, make_job
from delf_common.cli.parsing import CommandParser, Namespace
from delf_common.cli.search import add_search_options
from delf_common.errors import UsageError

BACKENDS = {".mindir": "mindir", ".onnx": "onnx"}
FEATURES, INDEX, RANKINGS = "features.h5", "places.h5", "rankings.json"


def parser() -> CommandParser:
    """Describe the command line."""
    command = CommandParser(
        "infer",
        "Run a file of delf export, by itself: the network, its settings and its PCA "
        "are inside. match: two photographs, their matches, a picture. retrieval: "
        f"extract a folder ({FEATURES}), index it ({INDEX}), search it for every query "
        f"({RANKINGS}), and score the rankings (mAP.txt, metrics.json).",
        "delf infer retrieval model.mindir photographs/ --ground_truth gnd/ "
        "--output results/",
    )
    command.add_argument("action", choices=("match", "retrieval"), help="what to do")
    command.add_argument("exported", type=str, help="a .mindir or .onnx file")
    command.add_argument(
        "images",
        nargs="+",
        help="match: two photographs, or a list_images.txt with two names; "
        "retrieval: the folder of the database, with the queries' pictures",
    )
    command.add_argument(
        "--output",
        type=str,
        default=None,
        help="match: a picture (PNG); retrieval: the folder of all results",
    )
    command.add_argument(
        "--image_root", type=str, default=".", help="match: folder of a list's names"
    )
    command.add_argument(
        "--ground_truth",
        type=str,
        default=None,
        help="retrieval: folder, gnd_*.pkl or gnd.json",
    )
    command.add_argument(
        "--protocol",
        type=str,
        default=None,
        help="retrieval: classic, revisited, mindspore-zoo or minibench (default: what "
        "fits the ground truth); mindspore-zoo is the original's",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    add_job_options(command)
    add_search_options(command, exported=True)
    return command


def run(options: Namespace) -> None:
    """Choose the backend by the file's name, and do what is asked.

    Raises:
        UsageError: the file is no exported one, or an option is missing.
    """
    suffix = Path(options.exported).suffix
    if suffix not in BACKENDS:
        raise UsageError(
            f"{options.exported}: give a file of delf export, {' or '.join(BACKENDS)}"
        )
    options.backend, options.weights = BACKENDS[suffix], options.exported
    if options.action == "match":
        return match(options)
    return retrieve(options)


def match(options: Namespace) -> None:
    """Do as ``delf match`` does."""
    from delf_common.cli.match import run

    options.pairs = options.features = None
    run(options)


def retrieve(options: Namespace) -> None:
    """Do as ``delf extract``, ``index`` and ``evaluate`` do, one after the other.

    Raises:
        UsageError: the ground truth or the output is missing, or there are several
            folders.
    """
    from delf_common.cli.evaluate import run
    from delf_common.extraction.job import run_job
    from delf_common.io.image_list import list_images
    from delf_common.retrieval.building import build_index

    for name in ("ground_truth", "output"):
        if getattr(options, name) is None:
            raise UsageError(f"infer retrieval needs --{name}")
    if len(options.images) != 1:
        raise UsageError(f"got {len(options.images)} paths; give one folder")
    folder = Path(options.output)
    root, features = Path(options.images[0]), folder / FEATURES
    job = make_job(options, list_images(options.images, root), features)
    done = run_job(job).describe(features)
    if not options.json:
        print(done)  # noqa: T201
    options.overwrite |= options.resume  # the features stay, what follows is made again
    job = make_job(options, [], features)
    build_index([str(features)], root, folder / INDEX, False, job)
    options.index = str(folder / INDEX)
    options.images = options.images[0]
    options.save_rankings = str(folder / RANKINGS)
    options.rankings, options.per_query, options.distractors = None, False, True
    run(options)
