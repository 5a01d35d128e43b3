# SPDX-License-Identifier: Apache-2.0
"""What is in the output directory already, and whether a build may go on there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delf_common.dataset.config import BuildConfig, BuildJob
from delf_common.dataset.finishing import RELABELING, SKIPPED
from delf_common.dataset.manifest import BUILDING, MANIFEST, read_manifest
from delf_common.dataset.plan import SplitPlan, fingerprint
from delf_common.dataset.shard_job import WRITING
from delf_common.errors import DelfError
from delf_common.io.atomic import write_text
from delf_common.io.journal import refuse_other_header
from delf_common.training.file_records import FileRecords

SETTINGS = (  # of BuildConfig, that make the bytes for the same pictures
    "num_shards",
    "validation_split_size",
    "seed",
    "split_rule",
    "format",
    "check",
)
OURS = re.compile(
    r"(train|validation)\.(array_record-\d+-of-\d+|mindrecord\d+(\.db)?|labels\.npy)"
)


def describe(
    config: BuildConfig, source: FileRecords, plans: Sequence[SplitPlan]
) -> dict[str, Any]:
    """Return what makes the bytes; a build is continued only with the same."""
    return {
        "config": {name: getattr(config, name) for name in SETTINGS},
        "plan": fingerprint(source, plans),
    }


def is_complete(folder: Path, header: dict[str, Any], job: BuildJob) -> bool:
    """Whether a build to be resumed is finished already.

    Raises:
        DelfError: there is a build, and the job says neither resume nor overwrite; or
            it was built with other settings.
    """
    built, begun = folder / MANIFEST, folder / BUILDING
    if job.overwrite or not (built.exists() or begun.exists()):
        return False
    if not job.resume:
        what = "holds built shards" if built.exists() else "holds a build cut off"
        raise DelfError(
            f"{folder} {what}; continue it with --resume, replace it with --overwrite, "
            "or choose another --output_directory"
        )
    if not built.exists():
        return False
    manifest = read_manifest(folder)
    settings = {name: manifest.arguments.get(name) for name in SETTINGS}
    refuse_other_build(built, {"config": settings, "plan": manifest.plan}, header)
    return True


def refuse_other_build(
    path: Path, begun: dict[str, Any], header: dict[str, Any]
) -> None:
    """Raise DelfError unless a build may be continued."""
    settings = {"config": header["config"]}
    refuse_other_header(path, {"config": begun["config"]}, settings)
    if begun["plan"] != header["plan"]:
        raise DelfError(
            f"{path}: the pictures or their labels are not those it was begun with; "
            "begin again with --overwrite"
        )


def begin(folder: Path, header: dict[str, Any], job: BuildJob) -> None:
    """Note what is built, or compare with what was begun.

    Raises:
        DelfError: it was begun with other settings.
    """
    note = folder / BUILDING / "plan.json"
    if job.overwrite:
        remove_build(folder)
    if note.exists():
        refuse_other_build(note, json.loads(note.read_text("utf-8")), header)
    else:
        write_text(note, json.dumps(header))
    for half in note.parent.glob(f"*{WRITING}"):
        shutil.rmtree(half)


def remove_build(folder: Path) -> None:
    """Remove what an earlier build wrote, its manifest first; nothing else."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder / BUILDING, ignore_errors=True)
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) or path.name in (SKIPPED, RELABELING):
            path.unlink()
