# SPDX-License-Identifier: Apache-2.0
"""What the launchers leave in the environment of the processes that they start."""

from __future__ import annotations

import os

WORKER, SCHEDULER = "MS_WORKER", "MS_SCHED"  # msrun's words


def role() -> str:
    """Return `WORKER` or `SCHEDULER` of ``msrun``, "" for other launchers and none."""
    return os.environ.get("MS_ROLE", "")


def is_first() -> bool:
    """Whether this process is the one that speaks for all, or the only one.

    ``torchrun`` says RANK, ``msrun`` and the scripts of rank tables say RANK_ID. The
    scheduler of ``msrun`` never speaks.
    """
    rank = os.environ.get("RANK", os.environ.get("RANK_ID", "0"))
    return role() != SCHEDULER and rank == "0"


def local_rank(rank: int) -> int:
    """Which process of its machine the process of this rank is.

    ``torchrun`` says LOCAL_RANK, ``msrun`` and the scripts of rank tables say
    DEVICE_ID; without either all are of one machine.
    """
    local = os.environ.get("LOCAL_RANK", os.environ.get("DEVICE_ID", rank))
    return int(local)
