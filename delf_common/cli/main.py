# SPDX-License-Identifier: Apache-2.0
"""The console command ``delf``: finds the subcommand, and turns errors into advice."""

from __future__ import annotations

import difflib
import importlib
import os
import sys

from delf_common import __version__
from delf_common.errors import DelfError, UsageError

COMMANDS = {
    "train": "train one stage on labelled photographs: tuning, then attn",
    "extract": "keypoints and descriptors of photographs, into one HDF5 file",
    "match": "match two photographs, verify the matches, draw them",
    "pca": "learn the projection that shortens descriptors",
    "index": "collect the features of a folder into a searchable index",
    "search": "find the photographs of an index that show the query's place",
    "evaluate": "mAP, mP@k and mR@k by the benchmarks' protocols",
    "convert": "convert weights into the canonical checkpoint",
    "export": "write a network as an ONNX or MindIR file, checked first",
    "infer": "match and retrieval from an exported file, as on an edge device",
    "interchange": "features and matches to and from COLMAP, hloc, kapture, .delf",
    "download": "data sets and weights, verified and resumed",
    "build-dataset": "labelled pictures into shards for training",
    "dataset": "count and draw what a training set holds",
    "demo": "write example photographs with a known ground truth",
    "parity": "compare the backends on your weights and photograph, stage by stage",
    "bench": "measure speed and quality, beside the plain ways",
}


def overview() -> str:
    """Return the text of ``delf --help``."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return (
        f"usage: delf COMMAND [options]\n\n"
        f"Find the same place in photographs (DELF {__version__}).\n\n"
        f"commands:\n{rows}\n\n"
        f"options of a command:\n  delf COMMAND --help\n\n"
        f"example:\n  delf match a.jpg b.jpg --output match.png"
    )


def main(argv: list[str] | None = None) -> int:
    """Run ``delf`` with these arguments (default: the process's).

    Returns:
        0, or 2 for a wrong call, or 1 for a failed run; 130 when interrupted.
    """
    arguments = sys.argv[1:] if argv is None else argv
    name = arguments[0] if arguments else ""
    if name in ("", "-h", "--help", "help"):
        print(overview())  # noqa: T201
        return 0 if name else 2
    if name in ("-V", "--version"):
        print(f"delf {__version__}")  # noqa: T201
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f'did you mean "delf {near[0]}"?' if near else "see delf --help"
        return complain(f"delf: there is no command {name!r}; {hint}", 2)
    return run_command(name, arguments[1:])


def run_command(name: str, arguments: list[str]) -> int:
    """Run one subcommand; a user's mistake ends in a line, not a traceback."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    module = importlib.import_module(f"delf_common.cli.{name.replace('-', '_')}")
    try:
        options = module.parser().parse(arguments)
        if options.log_level == "debug":
            os.environ["DELF_LOG_LEVEL"] = "debug"  # for the backends' processes too
        return int(module.run(options) or 0)
    except UsageError as error:
        return complain(f"delf {name}: {error}", 2)
    except DelfError as error:
        return complain(f"delf {name}: {error}", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"delf {name}: {where}{error.strerror or error}", 1)
    except KeyboardInterrupt:
        return complain(f"delf {name}: interrupted", 130)
    except SystemExit as leave:  # --help and the parser's own errors
        return leave.code if isinstance(leave.code, int) else 1


def complain(message: str, code: int) -> int:
    """Print to standard error and return the exit code."""
    print(message, file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
