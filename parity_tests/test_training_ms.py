# SPDX-License-Identifier: Apache-2.0
"""Training on MindSpore by itself; torch is not needed here."""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_set import CLASSES, small_run, write_training_set

from delf_common.errors import DelfError, UsageError
from delf_common.training.checkpoints import checkpoint_file, checkpoints
from delf_common.training.metrics import read_metrics
from delf_common.training.start import starting_checkpoint
from delf_common.weights.checkpoint import load_checkpoint, load_training_state

ms = pytest.importorskip("mindspore")

from delf_ms import train  # noqa: E402
from delf_ms.device import choose_device  # noqa: E402
from delf_ms.distributed import World, join_world  # noqa: E402
from delf_ms.optimizer import clip_gradients  # noqa: E402
from delf_ms.training import MsTrainer  # noqa: E402

ALONE = World(0, 1, "cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Operator by operator: small networks compile for longer than they run."""
    choose_device("cpu")
    monkeypatch.setenv("MS_JIT", "0")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_training_set(tmp_path_factory.mktemp("data") / "set")


def attn_run(data, output, **settings):
    """The stage whose steps are quickest."""
    return small_run(data, output, train_state="attn", **settings)


def make_trainer(config):
    return MsTrainer(starting_checkpoint(config, CLASSES), None, config, ALONE)


def changed_parts(before, after):
    names = [name for name in after if name in before]
    return {n.split(".")[0] for n in names if not np.array_equal(before[n], after[n])}


def same_bytes(one, two):
    for name in one.keys() | two.keys():
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_tuning_trains_from_the_named_block_on_and_nothing_below_moves(data, tmp_path):
    config = small_run(data, tmp_path, max_iters=1)
    start = starting_checkpoint(config, CLASSES).params
    end = load_checkpoint(train(config))
    assert changed_parts(start, end.params) == {"block4", "desc"}
    assert (end.info.stage, end.info.num_classes) == ("tuning", CLASSES)


def test_frozen_batch_norms_keep_their_statistics_and_learn_their_scale(data, tmp_path):
    config = small_run(data, tmp_path, max_iters=1, freeze_batch_norm=True)
    start = starting_checkpoint(config, CLASSES).params
    end = load_checkpoint(train(config)).params
    name = "block4.1.bn1.running_var"
    np.testing.assert_array_equal(start[name], end[name])
    assert not np.array_equal(start["block4.1.bn1.weight"], end["block4.1.bn1.weight"])


def test_attn_trains_the_attention_and_not_even_the_backbones_statistics(
    data, tmp_path
):
    config = attn_run(data, tmp_path, max_iters=2, need_summary=True)
    config = dataclasses.replace(config, save_summary=str(tmp_path / "summary"))
    start = starting_checkpoint(config, CLASSES)
    end = load_checkpoint(train(config))
    assert changed_parts(start.params, end.params) == {"attention", "attn"}
    assert (end.info.stage, end.info.attention) == ("attn", "trained")
    assert any((tmp_path / "summary").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adamw"}])
def test_a_killed_run_continues_to_the_same_bits(data, tmp_path, monkeypatch, settings):
    whole = train(attn_run(data, tmp_path / "whole", **settings))
    config = attn_run(data, tmp_path / "killed", keep_checkpoint_max=1, **settings)
    step, count = MsTrainer.step, iter(range(100))

    def dying(self, *args):
        if next(count) == 4:  # in the middle of an epoch, past a checkpoint
            raise KeyboardInterrupt
        step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(MsTrainer, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert [p.name.split("-")[1] for p in checkpoints(config)] == ["3.safetensors"]
    resumed = train(dataclasses.replace(config, resume=True))
    same_bytes(load_checkpoint(whole).params, load_checkpoint(resumed).params)
    one, two = load_training_state(whole), load_training_state(resumed)
    same_bytes(one.optimizer, two.optimizer)
    assert one.step == two.step == 6
    assert checkpoints(config) == [checkpoint_file(config, 6)]


def test_cached_features_train_the_same_bits(data, tmp_path):
    runs = []
    for cached in (False, True):
        settings = {"crop": "fixed", "cache_features": cached, "max_iters": 2}
        config = attn_run(data, tmp_path / str(cached), **settings)
        runs.append(load_checkpoint(train(config)).params)
    same_bytes(*runs)


def test_accumulated_parts_have_the_gradient_of_the_whole_batch(data, tmp_path):
    norms = []
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, 64, 64, 3), np.uint8)
    for parts in (1, 2):
        settings = {"accumulate_steps": parts, "freeze_batch_norm": True}
        trainer = make_trainer(small_run(data, tmp_path, **settings))
        for _ in range(2):  # what is kept of a step is gone in the next
            trainer.step(images, np.array([0, 1, 2, 0]), 0.0)
        norms.append([row["gradient_norm"] for row in trainer.take_metrics()])
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-4)


def test_clipping_scales_only_what_is_too_long():
    gradients = ms.Tensor([3.0, 0.0]), ms.Tensor([4.0])
    for limit, expected in ((10.0, [3, 0, 4]), (1.0, [0.6, 0, 0.8]), (0.0, [3, 0, 4])):
        clipped, norm = clip_gradients(gradients, limit)
        assert norm.asnumpy() == pytest.approx(5)
        found = np.concatenate([tensor.asnumpy() for tensor in clipped])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_overflow_in_fp16_halves_the_scale_and_leaves_the_step_out(
    data, tmp_path, monkeypatch
):
    """On a CPU only the test may ask for fp16."""
    monkeypatch.setattr(
        "delf_ms.training.choose_precision", lambda precision, device: ms.float16
    )
    trainer = make_trainer(attn_run(data, tmp_path))
    images = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3), np.uint8)
    labels = np.array([0, 1, 2, 0])
    before = trainer.params()
    trainer.scaler.value.set_data(ms.Tensor(1e38, ms.float32))
    trainer.step(images, labels, 0.1)
    assert not np.isfinite(trainer.take_metrics()[0]["gradient_norm"])
    assert trainer.loss_scale == pytest.approx(0.5e38)
    still = [n for n in before if "running" not in n]  # statistics saw the batch
    after = trainer.params()
    same_bytes({n: before[n] for n in still}, {n: after[n] for n in still})
    trainer.scaler.value.set_data(ms.Tensor(8.0, ms.float32))
    trainer.step(images, labels, 0.1)
    assert np.isfinite(trainer.take_metrics()[0]["gradient_norm"])
    assert changed_parts(before, trainer.params()) == {"attention", "attn"}
    assert trainer.loss_scale == 8


def test_a_loss_that_is_not_finite_stops_and_names_the_step(data, tmp_path):
    settings = {"max_iters": 9, "save_ckpt_step": 100, "log_step": 1}
    settings |= {"initial_lr": 1e30, "clip_norm": 0.0}
    config = attn_run(data, tmp_path, **settings)
    with pytest.raises(DelfError, match=r"step \d+: "):
        train(config)


def test_mixed_precision_is_refused_where_it_loses(data, tmp_path):
    for precision in ("bf16", "fp16"):
        with pytest.raises(UsageError, match=f"--precision {precision}"):
            train(attn_run(data, tmp_path, precision=precision))


def test_a_profile_lies_in_its_folder_and_nothing_in_the_working_folder(
    data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    trainer = make_trainer(attn_run(data, tmp_path / "out"))
    images = np.zeros((4, 64, 64, 3), np.uint8)
    with trainer.profile(tmp_path / "summary" / "profile"):
        trainer.step(images, np.array([0, 1, 2, 0]), 0.1)
        trainer.take_metrics()
    trace = tmp_path / "summary" / "profile" / "trace.json"
    assert trace.stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["summary"]


# Compiled, as users run it


def test_the_compiled_step_is_the_same_as_operator_by_operator(
    data, tmp_path, monkeypatch
):
    ends = []
    for jit in ("0", "1"):
        monkeypatch.setenv("MS_JIT", jit)
        config = attn_run(data, tmp_path / jit, max_iters=2, weight_decay=0.01)
        ends.append(load_checkpoint(train(config)).params)
    for name, array in ends[0].items():
        np.testing.assert_allclose(ends[1][name], array, rtol=1e-4, atol=2e-4)


# Several processes


def msrun(config, tmp_path, processes=2):
    settings = [
        f"--{n}={v}"
        for n, v in dataclasses.asdict(config).items()
        if v != "" and v is not None
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["msrun", f"--worker_num={processes}", f"--local_worker_num={processes}"]
    command += [f"--master_port={port}", "--join=True", "--log_dir=log", "python"]
    command += ["-m", "delf_common.cli.main", "train", "--backend=ms"]
    place = Path(sys.executable).parent
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command + settings,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": path},
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_two_processes_train_as_one_with_their_batches_together(data, tmp_path):
    settings = {"joint": True, "max_iters": 2, "log_step": 1}
    one = small_run(data, tmp_path / "one", batch_size=4, **settings)
    two = small_run(data, tmp_path / "two", batch_size=2, **settings)
    train(one)
    result = msrun(two, tmp_path)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    losses, norms = [], []
    for folder in ("one", "two"):
        rows = read_metrics(tmp_path / folder / "metrics_joint.jsonl")
        losses.append([row["loss"] for row in rows])
        norms.append([row["gradient_norm"] for row in rows])
    assert len(losses[1]) == 2
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_allclose(losses[1][0], losses[0][0], rtol=1e-5)
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-3)
    ends = [load_checkpoint(checkpoint_file(c, 2)).params for c in (one, two)]
    for name in ("block4.0.bn1.running_var", "attention.bn1.running_mean"):
        np.testing.assert_allclose(ends[1][name], ends[0][name], rtol=1e-3, atol=1e-5)


def test_a_rank_that_fails_ends_the_job_with_its_error(tmp_path):
    folder = write_training_set(tmp_path / "broken", per_class=2)
    for path in folder.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    config = attn_run(folder, tmp_path / "out", bad_record_limit=1)
    result = msrun(config, tmp_path)
    assert result.returncode != 0
    assert "do not decode" in result.stdout + result.stderr
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_a_rank_table_without_its_devices_is_refused(monkeypatch):
    monkeypatch.setenv("RANK_TABLE_FILE", "/nowhere/hccl_8p.json")
    monkeypatch.setenv("RANK_SIZE", "8")
    with pytest.raises(UsageError, match="msrun"), join_world("cpu"):
        pass
    with pytest.raises(UsageError, match="say auto"), join_world("ascend:1"):
        pass
    monkeypatch.setenv("RANK_SIZE", "1")  # the original's script for one card
    with join_world("cpu") as world:
        assert (world.rank, world.size) == (0, 1)


# MindRecord shards


@pytest.fixture(scope="module")
def shards(data, tmp_path_factory):
    """Two shards as the MindSpore DELF's builder writes them, without a manifest."""
    from delf_common.dataset.mindrecords import _import_writer

    folder = tmp_path_factory.mktemp("mindrecord")
    writer = _import_writer()(str(folder / "train.mindrecord"), 2)
    writer.set_header_size(1 << 14)
    writer.set_page_size(1 << 15)
    schema = {"file_id": "string", "label": "int64", "data": "bytes"}
    writer.add_schema({name: {"type": kind} for name, kind in schema.items()}, "GLDv2")
    writer.add_index(["file_id", "label"])
    for path in sorted(data.rglob("*.jpg")):
        label = int(path.parent.name.removeprefix("class"))
        name = f"{path.parent.name}/{path.name}"
        row = {"file_id": name, "label": label, "data": path.read_bytes()}
        writer.write_raw_data([row])
    writer.commit()
    return folder


@pytest.mark.parametrize("pipeline", ["shared", "minddataset"])
def test_the_originals_shards_train(shards, tmp_path, pipeline):
    path = str(next(shards.glob("train.mindrecord0")))
    settings = {"pipeline": pipeline, "save_ckpt_step": 1}
    config = attn_run(path, tmp_path / "out", max_iters=3, **settings)
    whole = load_checkpoint(train(config))
    assert whole.info.num_classes == CLASSES
    checkpoint_file(config, 3).unlink()
    resumed = load_checkpoint(train(dataclasses.replace(config, resume=True)))
    if pipeline == "shared":
        same_bytes(whole.params, resumed.params)


def test_minddataset_needs_mindrecord_shards(data, tmp_path):
    with pytest.raises(UsageError, match="--pipeline shared"):
        train(attn_run(data, tmp_path, pipeline="minddataset"))
    with pytest.raises(UsageError, match="--flip"):
        train(attn_run(data, tmp_path, pipeline="minddataset", flip=True))


def test_minddataset_gives_each_record_once_an_epoch(shards, tmp_path):
    from delf_ms.mind_dataset import MindBatches

    config = attn_run("", tmp_path, batch_size=5, pipeline="minddataset", seed=3)
    path = str(next(shards.glob("train.mindrecord0")))
    batches = MindBatches(path, config, ALONE, 0)
    found = [next(batches) for _ in range(6)]
    assert found[0].images.shape == (5, 64, 64, 3)
    assert found[0].images.dtype == np.uint8
    later = MindBatches(path, config, ALONE, 2)
    np.testing.assert_array_equal(next(later).labels, found[2].labels)


def test_modelarts_copies_in_and_out(data, tmp_path):
    config = small_run(
        data,
        "ckpt",
        train_state="attn",
        max_iters=1,
        enable_modelarts=True,
        traindata_path="",
        data_url=str(data),
        train_url=str(tmp_path / "results"),
        data_path=str(tmp_path / "cache/data"),
        load_path=str(tmp_path / "cache/load"),
        output_path=str(tmp_path / "cache/out"),
    )
    train(config)
    found = tmp_path / "results" / "ckpt" / "checkpoint_delf_attn-1.safetensors"
    assert load_checkpoint(found).info.stage == "attn"
