# SPDX-License-Identifier: Apache-2.0
"""How much a training step computes, and the share of what the device could."""

from __future__ import annotations

import dataclasses
import importlib
import statistics
from collections.abc import Mapping
from typing import Any, Literal

from delf_common.backends import is_installed
from delf_common.training.config import TrainConfig
from delf_common.training.open_records import open_records
from delf_common.training.start import starting_checkpoint

STAGES: tuple[Literal["tuning"], Literal["attn"]] = ("tuning", "attn")
PLAIN = ", plain loop"  # end of the name of a way


def work_of_steps(
    config: TrainConfig, module: str, rates: Mapping[str, float], repeats: int
) -> dict[str, Any]:
    """GFLOP of a step of each stage, and shares of the rate of a matrix product.

    PyTorch counts and measures for both backends; without it, and of an Ascend, there
    is nothing.

    Args:
        config: of the runs.
        module: "delf_torch" or "delf_ms".
        rates: steps a second by way.
        repeats: matrix products; the median is taken.

    Returns:
        "device"; "gflop_per_step" by stage; "matrix_gflops" by precision;
        "share_of_matrix_rate" by way, of the rate of its precision: the plain loop's is
        float32. A plain loop's work is the same, though it computes more.
    """
    chosen = importlib.import_module(f"{module}.device").choose_device(config.device)
    device = str(chosen)
    nothing: dict[str, Any] = {"device": device, "gflop_per_step": {}}
    nothing |= {"matrix_gflops": {}, "share_of_matrix_rate": {}}
    if not is_installed("torch") or device.startswith("ascend"):
        return nothing
    measures = importlib.import_module("delf_torch.rates")
    precision = "float32"
    if module == "delf_torch":
        precision = measures.training_precision(config)
    found = {
        name: statistics.median(
            measures.matrix_rates(device, name)[0] for _ in range(repeats + 1)
        )
        for name in dict.fromkeys((precision, "float32"))
    }
    flop: dict[str, int] = {
        stage: count_step(config, stage, measures) for stage in STAGES
    }
    shares = {
        way: rate
        * flop[way.removesuffix(PLAIN)]
        / found["float32" if way.endswith(PLAIN) else precision]
        for way, rate in rates.items()
    }
    return {
        "device": measures.name_device(device),
        "gflop_per_step": {stage: count / 1e9 for stage, count in flop.items()},
        "matrix_gflops": {name: rate / 1e9 for name, rate in found.items()},
        "share_of_matrix_rate": shares,
    }


def count_step(config: TrainConfig, stage: Any, measures: Any) -> int:
    """Operations of one step of a stage, of the network that it would train."""
    run = dataclasses.replace(config, train_state=stage)
    classes = open_records(config.traindata_path, config.num_classes).num_classes
    info = starting_checkpoint(run, classes).info
    return int(measures.count_step_flop(info, run))
