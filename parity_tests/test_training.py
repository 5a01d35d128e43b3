"""Training: what each stage changes, resuming, checkpoints, errors, the command."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from training_set import CLASSES, small_run, write_training_set

from delf_common.cli.main import main
from delf_common.errors import DelfError, UsageError
from delf_common.training.checkpoints import checkpoint_file, checkpoints
from delf_common.training.config import TrainConfig, check_config
from delf_common.training.initial import initial_params
from delf_common.training.metrics import read_metrics
from delf_common.training.modelarts import localise
from delf_common.training.schedule import learning_rate
from delf_common.training.start import starting_checkpoint
from delf_common.weights.checkpoint import load_checkpoint, load_training_state
from delf_common.weights.metadata import WeightsInfo

torch = pytest.importorskip("torch")

from delf_torch import train  # noqa: E402
from delf_torch.distributed import World  # noqa: E402
from delf_torch.optimizer import clip_gradients  # noqa: E402
from delf_torch.training import TorchTrainer  # noqa: E402

BACKBONE = ("conv1", "bn1", "block1", "block2", "block3", "block4")
ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_training_set(tmp_path_factory.mktemp("data") / "set")


def changed_parts(before, after):
    """First words of the names of the parameters that differ."""
    names = [name for name in after if name in before]
    return {n.split(".")[0] for n in names if not np.array_equal(before[n], after[n])}


def same_bytes(one, two):
    for name in one.keys() | two.keys():
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


# What the stages do


def test_tuning_trains_from_the_named_block_on_and_leaves_the_rest(data, tmp_path):
    start = starting_checkpoint(small_run(data, tmp_path), CLASSES).params
    path = train(small_run(data, tmp_path))
    end = load_checkpoint(path)
    assert changed_parts(start, end.params) == {"block4", "desc"}
    assert (end.info.stage, end.info.attention) == ("tuning", "feature_norm")
    assert end.info.num_classes == CLASSES


def test_attn_trains_the_attention_and_not_even_the_backbones_statistics(
    data, tmp_path
):
    tuned = train(small_run(data, tmp_path))
    config = small_run(
        data, tmp_path, train_state="attn", checkpoint_path=str(tuned), initial_lr=0.1
    )
    start = starting_checkpoint(config, CLASSES)
    end = load_checkpoint(train(config))
    assert changed_parts(start.params, end.params) == {"attention", "attn"}
    assert (end.info.stage, end.info.attention) == ("attn", "trained")
    same = [name for name in end.params if name.split(".")[0] in BACKBONE]
    before = load_checkpoint(tuned).params
    same_bytes({n: end.params[n] for n in same}, {n: before[n] for n in same})


def test_joint_training_gives_the_backbone_no_gradient_from_the_attention(
    data, tmp_path
):
    alone = train(small_run(data, tmp_path / "a", train_from="block3"))
    both = train(
        small_run(
            data,
            tmp_path / "b",
            train_from="block3",
            joint=True,
            attention_loss_weight=50.0,
            clip_norm=0.0,
        )
    )
    free = train(small_run(data, tmp_path / "c", train_from="block3", clip_norm=0.0))
    one, two = load_checkpoint(free).params, load_checkpoint(both).params
    same_bytes(one, {name: two[name] for name in one})
    assert load_checkpoint(both).info.stage == "joint"
    assert alone != both


def test_the_loss_falls(data, tmp_path):
    settings = {"max_iters": 40, "log_step": 10, "freeze_batch_norm": True}
    train(small_run(data, tmp_path, crop="fixed", **settings))
    rows = read_metrics(tmp_path / "metrics_tuning.jsonl")
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")


def test_a_step_is_sgd_with_momentum_on_clipped_gradients(data, tmp_path):
    """The update by hand, in float64, from the gradients of the loss."""
    config = small_run(data, tmp_path, clip_norm=0.5, weight_decay=0.01)
    trainer = TorchTrainer(starting_checkpoint(config, CLASSES), None, config, ALONE)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, 64, 64, 3), np.uint8)
    labels = np.array([0, 1, 2, 0])
    values = {n: p.detach().clone().double() for n, p in trainer.parameters.items()}
    buffers = dict.fromkeys(values, 0.0)
    for rate in (0.1, 0.05):
        trainer.stage.train()
        statistics = trainer.params()  # batch norm moves only in step
        loss, _ = trainer.stage(torch.from_numpy(images), torch.from_numpy(labels))
        names = list(values)
        found = torch.autograd.grad(loss, [trainer.parameters[n] for n in names])
        gradients = {n: g.double() for n, g in zip(names, found, strict=True)}
        norm = sum((g**2).sum() for g in gradients.values()) ** 0.5
        assert norm > 0.5  # else nothing is clipped
        trainer.step(images, labels, rate)
        measured = trainer.take_metrics()[0]
        assert measured["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
        assert measured["loss"] == pytest.approx(float(loss), rel=1e-4)
        for name in names:
            decay = 0.01 if values[name].ndim > 1 else 0.0
            step = gradients[name] * 0.5 / norm + decay * values[name]
            buffers[name] = 0.9 * buffers[name] + step
            values[name] = values[name] - rate * buffers[name]
            now = trainer.parameters[name].detach().double()
            torch.testing.assert_close(now, values[name], rtol=1e-3, atol=1e-5)
        del statistics


def test_accumulated_parts_have_the_gradient_of_the_whole_batch(data, tmp_path):
    norms = []
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, 64, 64, 3), np.uint8)
    for parts in (1, 2, 4):
        config = small_run(
            data, tmp_path, accumulate_steps=parts, freeze_batch_norm=True
        )
        start = starting_checkpoint(config, CLASSES)
        trainer = TorchTrainer(start, None, config, ALONE)
        trainer.step(images, np.array([0, 1, 2, 0]), 0.1)
        norms.append(trainer.take_metrics()[0]["gradient_norm"])
    np.testing.assert_allclose(norms, norms[0], rtol=1e-4)


def test_clipping_scales_only_what_is_too_long():
    for limit, expected in ((10.0, [3.0, 0.0, 4.0]), (1.0, [0.6, 0.0, 0.8])):
        gradients = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]
        assert clip_gradients(gradients, limit).item() == 5
        torch.testing.assert_close(torch.cat(gradients), torch.tensor(expected))


def test_cached_features_train_the_same_bits(data, tmp_path):
    runs = []
    for cached in (False, True):
        folder = tmp_path / str(cached)
        settings = {"train_state": "attn", "crop": "fixed", "cache_features": cached}
        runs.append(load_checkpoint(train(small_run(data, folder, **settings))).params)
    same_bytes(*runs)


def test_a_backbone_from_random_numbers_trains(data, tmp_path):
    config = small_run(
        data,
        tmp_path,
        imagenet_checkpoint="",
        variant="torchvision",
        block3_strides=True,
        max_iters=1,
        image_size=33,
        batch_size=2,
        train_from="conv1",
    )
    info = load_checkpoint(train(config)).info
    assert (info.architecture, info.variant) == ("resnet50", "torchvision")
    assert info.block3_strides


# Resuming


@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "adamw"}, {"train_state": "attn"}]
)
def test_a_killed_run_continues_to_the_same_bits(data, tmp_path, monkeypatch, settings):
    whole = train(small_run(data, tmp_path / "whole", **settings))
    config = small_run(data, tmp_path / "killed", **settings)
    step, count = TorchTrainer.step, iter(range(100))

    def dying(self, *args):
        if next(count) == 4:  # in the middle of an epoch, past a checkpoint
            raise KeyboardInterrupt
        step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(TorchTrainer, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert [p.name.split("-")[1] for p in checkpoints(config)] == ["3.safetensors"]
    resumed = train(dataclasses.replace(config, resume=True))
    same_bytes(load_checkpoint(whole).params, load_checkpoint(resumed).params)
    one, two = load_training_state(whole), load_training_state(resumed)
    same_bytes(one.optimizer, two.optimizer)
    assert one.step == two.step == 6
    rows = [
        row["step"] for row in read_metrics(next((tmp_path / "killed").glob("*.jsonl")))
    ]
    assert rows == sorted(set(rows)) and rows[-1] == 6


def test_resuming_with_what_moves_the_data_is_refused(data, tmp_path):
    config = small_run(data, tmp_path, max_iters=3)
    train(config)
    for name, value in (("seed", 1), ("batch_size", 2), ("optimizer", "adamw")):
        other = dataclasses.replace(config, resume=True, max_iters=6, **{name: value})
        with pytest.raises(DelfError, match=name):
            train(other)
    with pytest.raises(DelfError, match="asks for no more"):
        train(dataclasses.replace(config, resume=True))
    with pytest.raises(DelfError, match="--resume"):
        train(config)
    assert train(dataclasses.replace(config, overwrite=True))


def test_only_the_newest_checkpoints_are_kept(data, tmp_path):
    config = small_run(data, tmp_path, save_ckpt_step=1, keep_checkpoint_max=2)
    train(config)
    assert checkpoints(config) == [checkpoint_file(config, n) for n in (5, 6)]


def test_a_checkpoint_holds_what_it_needs_once(data, tmp_path):
    path = train(small_run(data, tmp_path))
    params, state = load_checkpoint(path).params, load_training_state(path)
    arrays = [*params.values(), *state.optimizer.values()]
    assert path.stat().st_size < sum(a.nbytes for a in arrays) + 200_000
    assert state.settings["seed"] == 0 and state.settings["records"] == 15
    assert "recipe_tuning" in load_checkpoint(path).info.provenance


# What goes wrong


def test_a_loss_that_is_not_finite_stops_and_names_the_step(data, tmp_path):
    config = small_run(data, tmp_path, max_iters=30, initial_lr=1e30, clip_norm=0.0)
    with pytest.raises(DelfError, match=r"step \d+: the loss is (nan|inf)"):
        train(dataclasses.replace(config, save_ckpt_step=1))
    for path in checkpoints(config):
        load_checkpoint(path)  # would raise for a parameter that is not finite


def test_parameters_that_are_not_finite_replace_no_checkpoint(
    data, tmp_path, monkeypatch
):
    config = small_run(data, tmp_path, train_state="attn", keep_checkpoint_max=1)
    params, count = TorchTrainer.params, iter(range(9))

    def spoilt(self):
        found = params(self)
        if next(count):  # after the first checkpoint, of step 3
            found["attn.bias"] = found["attn.bias"] * np.nan
        return found

    monkeypatch.setattr(TorchTrainer, "params", spoilt)
    with pytest.raises(DelfError, match=r"step 6: attn\.bias is not finite.*--resume"):
        train(config)
    assert checkpoints(config) == [checkpoint_file(config, 3)]
    load_checkpoint(checkpoint_file(config, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "--batch_size 0"),
        ({"initial_lr": -1.0}, "--initial_lr -1.0"),
        ({"initial_lr": float("nan")}, "--initial_lr nan"),
        ({"traindata_path": ""}, "--traindata_path"),
        ({"joint": True, "train_state": "attn"}, "--joint"),
        ({"start_iter": 9}, "--max_iters 6"),
        ({"accumulate_steps": 3}, "--accumulate_steps 3"),
        ({"validation_split": 1.0}, "--validation_split 1.0"),
        ({"cache_features": True}, "--cache_features"),
        ({"resume": True, "overwrite": True}, "--resume"),
    ],
)
def test_settings_out_of_range_are_refused(data, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        check_config(small_run(data, tmp_path, **settings))


def test_mixed_precision_is_refused_where_it_loses(data, tmp_path, monkeypatch):
    monkeypatch.setattr("delf_torch.precision.has_bfloat16", lambda device: False)
    for precision in ("bf16", "fp16"):
        with pytest.raises(UsageError, match=f"--precision {precision}"):
            train(small_run(data, tmp_path, precision=precision))


# The schedule


def test_the_rate_falls_in_a_line_to_the_end():
    config = TrainConfig(initial_lr=0.01, max_iters=100)
    rates = [learning_rate(config, step) for step in (1, 51, 100)]
    np.testing.assert_allclose(rates, [0.01, 0.005, 0.0001])


def test_the_model_zoos_rate_does_not_depend_on_max_iters_and_is_never_negative():
    zoo = TrainConfig(schedule="mindspore", initial_lr=0.01)
    # (0.01 * (1 - 1 / 250000) - 1e-4) * (1 - 0 / 500000) + 1e-4
    assert learning_rate(zoo, 1) == pytest.approx(0.00999996)
    late = dataclasses.replace(zoo, start_iter=400_000, max_iters=900_000)
    assert learning_rate(late, 400_000) == 0.0


def test_warm_up_and_the_other_schedules():
    config = TrainConfig(initial_lr=1.0, max_iters=100, schedule="constant")
    warm = dataclasses.replace(config, warmup_steps=4)
    rates = [learning_rate(warm, step) for step in (1, 2, 4, 50)]
    np.testing.assert_allclose(rates, [0.25, 0.5, 1, 1])
    cosine = dataclasses.replace(config, schedule="cosine")
    assert learning_rate(cosine, 51) == pytest.approx(0.5)


# The start


def test_the_originals_h5_that_is_not_there_says_how_to_fetch_it():
    h5 = "./resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"  # their default
    with pytest.raises(DelfError, match="delf download pretrained --only resnet50_"):
        starting_checkpoint(TrainConfig(imagenet_checkpoint=h5), CLASSES)


def test_random_parameters_do_not_depend_on_each_other():
    info = WeightsInfo(
        "x", "", "efficientnet_lite0", attention="trained", num_classes=3
    )
    more = dataclasses.replace(info, num_classes=5)
    one, two = initial_params(info, 0), initial_params(more, 0)
    np.testing.assert_array_equal(
        one["block1.0.project.weight"], two["block1.0.project.weight"]
    )
    assert not np.array_equal(
        one["attention.conv1.weight"], initial_params(info, 1)["attention.conv1.weight"]
    )
    assert one["bn1.running_var"].min() == 1 and one["bn1.running_mean"].max() == 0
    assert 0.01 < one["attn.weight"].std() < 1


# The command


def test_the_command_reads_the_model_zoos_yaml(data, tmp_path, capsys):
    """Every key of delf_spec.md C.3, in a file of several documents."""
    zoo = {
        "enable_modelarts": False,
        "data_url": "",
        "train_url": "",
        "checkpoint_url": "",
        "data_path": "/cache/data",
        "output_path": "/cache/train",
        "load_path": "/cache/checkpoint_path",
        "train_state": "tuning",
        "seed": 0,
        "batch_size": 4,
        "start_iter": 1,
        "max_iters": 500000,
        "image_size": 64,
        "initial_lr": 0.01,
        "attention_loss_weight": 1.0,
        "traindata_path": str(data),
        "keep_checkpoint_max": 1,
        "imagenet_checkpoint": "delf-lite0",
        "checkpoint_path": "",
        "save_ckpt": str(tmp_path / "ckpt"),
        "save_ckpt_step": 2000,
        "need_summary": True,
        "save_summary": str(tmp_path / "summary"),
        "need_profile": False,
    }
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in zoo.items())
    file = tmp_path / "delf_config.yaml"
    file.write_text(f'# the model zoo\'s\n{text}---\nseed: "help"\n---\nx: [1]\n')
    flags = ["--train_from", "block4", "--max_iters", "2"]  # they go before the file
    assert main(["train", "--config_path", str(file), *flags]) == 0
    out, err = capsys.readouterr()
    path = tmp_path / "ckpt" / "checkpoint_delf_tuning-2.safetensors"
    assert out.strip() == str(path) and path.is_file()
    assert 'train_from: "block4"' in err and "step 2/2" in err
    again = tmp_path / "ckpt" / "config_tuning.yaml"
    assert "max_iters: 2" in again.read_text()
    assert any((tmp_path / "summary").glob("events.out.tfevents.*"))
    assert main(["train", "--config", str(again), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_sise: 4\n", "batch_size"),
        ("seed: 1\n---\nseed: x\nbatch_sise: 1", "path"),
    ],
)
def test_unknown_keys_name_the_nearest(tmp_path, capsys, text, message):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    assert main(["train", "--config", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_event_files_hold_what_was_measured_and_what_the_attention_looks_at(
    data, tmp_path
):
    """Also: validation is due by its own step, whatever the log's; and a profile."""
    reading = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(reading).EventAccumulator
    config = small_run(
        data,
        tmp_path / "ckpt",
        joint=True,
        max_iters=12,
        log_step=5,
        validation_path=str(data),
        validation_step=4,
        need_summary=True,
        need_profile=True,
        save_summary=str(tmp_path / "summary"),
    )
    train(config)
    rows = read_metrics(tmp_path / "ckpt/metrics_joint.jsonl")
    assert [row["step"] for row in rows] == [4, 5, 8, 10, 12]
    validated = [row["step"] for row in rows if "val_desc" in row and "val_attn" in row]
    assert validated == [4, 8, 12]
    found = reader(str(tmp_path / "summary"))
    found.Reload()
    numbers = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    measured = [*rows[0], *(f"attention/{s}" for s in ("min", "mean", "max"))]
    assert set(measured) - {"step"} < numbers.keys()
    assert "attention/sparsity" in numbers
    assert [event.step for event in numbers["loss"]] == [4, 5, 8, 10, 12]
    assert numbers["loss"][-1].value == pytest.approx(rows[-1]["loss"])
    assert [event.step for event in numbers["val_attn"]] == validated
    pictures = [found.Images(tag)[-1] for tag in found.Tags()["images"]]
    assert [(p.width, p.height, p.step) for p in pictures] == [(64, 64, 12)] * 4
    trace = json.loads((tmp_path / "summary/profile/trace.json").read_text())
    assert any("convolution" in event.get("name", "") for event in trace["traceEvents"])


def test_compile_is_asked_of_the_model(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: asked.append(self))
    for wanted in (False, True):
        config = small_run(data, tmp_path, compile=wanted)
        trainer = TorchTrainer(
            starting_checkpoint(config, CLASSES), None, config, ALONE
        )
        assert asked == ([trainer.model] if wanted else [])


def test_modelarts_finds_the_files_that_are_named_below_its_folders(tmp_path):
    for name in ("load/resnet50.h5", "load/tuned.safetensors", "data/val/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config = TrainConfig(
        enable_modelarts=True,
        checkpoint_url="obs://bucket/load",
        load_path=str(tmp_path / "load"),
        data_path=str(tmp_path / "data"),
        imagenet_checkpoint="./resnet50.h5",
        validation_path="val",
    )
    local = localise(config)
    assert local.imagenet_checkpoint == str(tmp_path / "load/resnet50.h5")
    assert local.checkpoint_path == ""
    assert local.validation_path == str(tmp_path / "data/val")
    both = localise(dataclasses.replace(config, checkpoint_path="tuned.safetensors"))
    assert both.checkpoint_path == str(tmp_path / "load/tuned.safetensors")
    absent = localise(dataclasses.replace(config, imagenet_checkpoint="delf-lite0"))
    assert absent.imagenet_checkpoint == "delf-lite0"
    assert absent.checkpoint_path == str(tmp_path / "load")


def test_modelarts_copies_in_and_out(data, tmp_path):
    tuned = train(small_run(data, tmp_path / "tuned"))
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    (bucket / "start.safetensors").write_bytes(tuned.read_bytes())
    config = small_run(
        data,
        "ckpt",
        train_state="attn",
        enable_modelarts=True,
        traindata_path="",
        data_url=str(data),
        checkpoint_url=str(bucket / "start.safetensors"),
        train_url=str(tmp_path / "results"),
        data_path=str(tmp_path / "cache/data"),
        load_path=str(tmp_path / "cache/load"),
        output_path=str(tmp_path / "cache/out"),
    )
    train(config)
    found = tmp_path / "results" / "ckpt" / "checkpoint_delf_attn-6.safetensors"
    assert load_checkpoint(found).info.stage == "attn"
    assert "desc.weight" in load_checkpoint(found).params
    with pytest.raises(DelfError, match="no such folder"):
        train(dataclasses.replace(config, data_url=str(tmp_path / "nowhere")))


# Several processes


def torchrun(config, tmp_path, processes=2):
    settings = [
        f"--{n}={v}"
        for n, v in dataclasses.asdict(config).items()
        if v != "" and v is not None
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={processes}", "-m", "delf_common.cli.main", "train"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command + settings,
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize("stage", ["joint"])
def test_two_processes_train_as_one_with_their_batches_together(data, tmp_path, stage):
    settings = {"joint": True, "max_iters": 4, "log_step": 1, "train_from": "block3"}
    one = small_run(data, tmp_path / "one", batch_size=4, **settings)
    two = small_run(data, tmp_path / "two", batch_size=2, **settings)
    train(one)
    result = torchrun(two, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    losses = []
    for folder in ("one", "two"):
        rows = read_metrics(tmp_path / folder / "metrics_joint.jsonl")
        losses.append([row["loss"] for row in rows])
    assert len(losses[1]) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_allclose(losses[1][0], losses[0][0], rtol=1e-5)
    ends = [load_checkpoint(checkpoint_file(c, 4)).params for c in (one, two)]
    for name in ("block3.0.bn1.running_var", "attention.bn1.running_mean"):
        np.testing.assert_allclose(ends[1][name], ends[0][name], rtol=1e-3, atol=1e-5)


def test_a_rank_that_fails_ends_the_job_with_its_error(tmp_path):
    """One record is broken: the rank that draws it fails, the other waits for it."""
    folder = write_training_set(tmp_path / "broken", per_class=2)
    (folder / "class1/1.jpg").write_bytes(b"no picture")
    config = small_run(folder, tmp_path / "out", bad_record_limit=0, batch_size=1)
    result = torchrun(config, tmp_path)
    assert result.returncode != 0
    assert result.stderr.count("1 records do not decode") == 1
    assert not list((tmp_path / "out").glob("*-6.safetensors"))
