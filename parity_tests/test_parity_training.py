# SPDX-License-Identifier: Apache-2.0
"""Training rungs: loss, gradients, one step, ten, twenty, in both frameworks."""

import dataclasses

import numpy as np
import pytest
from tolerances import assert_near
from training_set import CLASSES, small_run, write_training_set

from delf_common.backends import load_backend
from delf_common.training.checkpoints import checkpoints
from delf_common.training.start import starting_checkpoint
from delf_common.weights.checkpoint import load_checkpoint, load_training_state

torch = pytest.importorskip("torch")
ms = pytest.importorskip("mindspore")

from delf_ms.device import choose_device  # noqa: E402
from delf_ms.distributed import World as MsWorld  # noqa: E402
from delf_ms.training import MsTrainer  # noqa: E402
from delf_torch.distributed import World as TorchWorld  # noqa: E402
from delf_torch.training import TorchTrainer  # noqa: E402

STAGES = {
    "tuning": {},
    "attn": {"train_state": "attn"},
    "joint": {"joint": True},
}
STATISTICS = ("running_mean", "running_var")


@pytest.fixture(scope="module", autouse=True)
def cpu():
    choose_device("cpu")


def both(config):
    """The same trainer on each framework, from the same checkpoint."""
    start = starting_checkpoint(config, CLASSES)
    alone = TorchWorld(0, 1, torch.device("cpu"))
    return (
        TorchTrainer(start, None, config, alone),
        MsTrainer(start, None, config, MsWorld(0, 1, "cpu")),
    )


def batches(count, size, images):
    rng = np.random.default_rng(5)
    for _ in range(count):
        yield (
            rng.integers(0, 256, (images, size, size, 3), np.uint8),
            rng.integers(0, CLASSES, images),
        )


def compare_metrics(trainers, rungs):
    wanted, actual = (trainer.take_metrics()[0] for trainer in trainers)
    assert wanted.keys() == actual.keys()
    for name, value in wanted.items():
        if name.endswith("accuracy"):
            assert actual[name] == value
        else:
            rung = rungs + (" norm" if name == "gradient_norm" else " loss")
            assert_near(rung, np.float32([actual[name]]), np.float32([value]))


def compare_parameters(trainers, rung):
    """Weights and running statistics, each against its own largest value."""
    wanted, actual = (trainer.params() for trainer in trainers)
    assert wanted.keys() == actual.keys()
    for name, array in wanted.items():
        statistic = name.endswith(STATISTICS)
        part = " statistics" if statistic else " parameters"
        if statistic or np.abs(array).max() > 1e-3:  # a bias that begins at 0
            assert_near(rung + part, actual[name], array)


def compare_gradients(trainers):
    """Gradient of each parameter; of a bias before a batch norm it is rounding."""
    wanted, actual = (trainer.optimizer_state() for trainer in trainers)
    assert wanted.keys() == actual.keys()
    largest = max(np.abs(array).max() for array in wanted.values())
    for name, array in wanted.items():
        if np.abs(array).max() > 1e-3 * largest:
            assert_near("gradients", actual[name], array)


def rung_of(step):
    """The rung that the figures of a step belong to; it is checked after it."""
    return "step 1-3" if step <= 3 else "step 4-10" if step <= 10 else "step 11-20"


@pytest.mark.parametrize("stage", STAGES)
def test_twenty_steps_of_each_stage_stay_together(tmp_path, stage):
    """The embedded network, trained from block4, compiled as users run it."""
    settings = {"initial_lr": 0.005, "weight_decay": 0.01, **STAGES[stage]}
    config = small_run("x", tmp_path, **settings)
    trainers = both(config)
    for step, (images, labels) in enumerate(batches(20, 64, images=8), 1):
        rate = config.initial_lr * (1 - step / 40)
        for trainer in trainers:
            trainer.step(images, labels, rate)
        compare_metrics(trainers, rung_of(step))
        if step in (1, 2, 3, 6, 10, 15, 20):
            compare_parameters(trainers, rung_of(step))
        if step == 1:  # what momentum remembers of one step: its gradients
            compare_gradients(trainers)
    moved, state = trainers[1].params(), trainers[0].fixed
    assert any(not np.array_equal(moved[name], state[name]) for name in moved)


@pytest.mark.parametrize(
    ("begins", "ends", "optimizer"),
    [("torch", "ms", "adamw"), ("ms", "torch", "sgd")],
)
def test_a_run_goes_on_in_the_other_framework(tmp_path, begins, ends, optimizer):
    """Beside the run that stays in its framework: data, rate and memory go along."""
    data = write_training_set(tmp_path / "data")
    settings = {"train_state": "attn", "optimizer": optimizer, "initial_lr": 0.002}
    config = small_run(data, tmp_path / "stays", **settings)
    stays = load_backend(begins).train(config)
    moves = dataclasses.replace(config, save_ckpt=str(tmp_path / "moves"))
    load_backend(begins).train(moves).unlink()  # as if killed after step 3
    (half,) = checkpoints(moves)
    moved = load_backend(ends).train(dataclasses.replace(moves, resume=True))
    assert load_training_state(moved).step == load_training_state(stays).step == 6
    before, wanted, actual = (load_checkpoint(p).params for p in (half, stays, moved))
    for name in ("attention.conv1.weight", "attention.conv2.weight", "attn.weight"):
        step = wanted[name] - before[name]  # what is small beside the parameters
        assert_near("steps after resuming", actual[name] - before[name], step)
