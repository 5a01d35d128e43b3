# SPDX-License-Identifier: Apache-2.0
"""What MindSpore reads from the environment when it is imported."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

LOG_LEVEL = "DELF_LOG_LEVEL"  # what ``--log_level`` leaves for the backends
ERRORS, PROGRESS = "3", "1"  # MindSpore's numbers; its 0 is 100 MB a picture


def prepare_environment() -> None:
    """Quieten MindSpore, and keep what it writes out of the working folder.

    What the user has set stays. MindSpore writes ``rank_0`` where a graph does not
    compile, and ``kernel_meta`` where operators are compiled for an Ascend.
    """
    debug = os.environ.get(LOG_LEVEL) == "debug"
    os.environ.setdefault("GLOG_v", PROGRESS if debug else ERRORS)
    user = os.getuid() if hasattr(os, "getuid") else ""
    folder = str(Path(tempfile.gettempdir()) / f"delf_ms-{user}")
    for variable in ("MS_OM_PATH", "MS_COMPILER_CACHE_PATH"):
        os.environ.setdefault(variable, folder)
