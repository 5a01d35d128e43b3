# SPDX-License-Identifier: Apache-2.0
"""Processes that train together part without waiting for each other for ever."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

# A process alone stands for all. A thread that waits for the interpreter waits long,
# so that gloo's is still at its last tensor when the group goes.
ROUNDS = """
import functools, os, sys
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from delf_torch.distributed import join_world

sys.setswitchinterval(1000)
os.environ["WORLD_SIZE"] = "2"
begin = functools.partial(dist.init_process_group, rank=0, world_size=1)
dist.init_process_group = lambda backend: begin(backend, store=dist.HashStore())
for _ in range(200):
    with join_world("cpu"):
        model = DistributedDataParallel(torch.nn.Linear(9, 9))
        model(torch.ones(1, 9)).sum().backward()
    del model
"""


def test_a_group_ends_though_its_threads_are_at_work():
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ROUNDS],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-2000:]
