# SPDX-License-Identifier: Apache-2.0
"""The MindSpore networks by themselves; torch is not needed here."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_networks import EVERY, KERAS, OFFICIAL_SLIM, calm_params, random_params

ms = pytest.importorskip("mindspore")

from delf_common.demo import write_jpeg  # noqa: E402
from delf_common.errors import DelfError, UsageError  # noqa: E402
from delf_common.weights.checkpoint import Checkpoint, load_checkpoint  # noqa: E402
from delf_common.weights.names import NORM_PARTS, parameter_shapes  # noqa: E402
from delf_ms.delf import build_delf  # noqa: E402
from delf_ms.device import choose_device, occupy  # noqa: E402
from delf_ms.environment import prepare_environment  # noqa: E402
from delf_ms.layers import freeze_batch_norm  # noqa: E402
from delf_ms.network import MsNetwork  # noqa: E402
from delf_ms.parameters import canonical_tensors, get_params, put_params  # noqa: E402


@pytest.fixture(scope="module")
def lite0():
    """The embedded backbone, with the length of a feature row for a score."""
    embedded = load_checkpoint("delf-lite0")
    info = dataclasses.replace(embedded.info, attention="feature_norm")
    kept = {n: a for n, a in embedded.params.items() if not n.startswith("attention.")}
    return MsNetwork(Checkpoint(kept, info), "cpu")


def pictures(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("info", EVERY.values(), ids=EVERY)
def test_network_parameters_are_the_canonical_table(narrow, info):
    tensors = canonical_tensors(build_delf(info))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == parameter_shapes(info)
    for name, tensor in tensors.items():  # all can be trained but running statistics
        assert tensor.requires_grad == (name.rpartition(".")[2] not in NORM_PARTS[2:])


def test_put_params_lists_what_does_not_fit(narrow):
    params = random_params(KERAS)
    del params["block1.0.conv1.bias"]
    params["block9.weight"] = np.zeros(1, np.float32)
    params["attention.conv2.bias"] = np.zeros(2, np.float32)
    with pytest.raises(DelfError) as caught:
        put_params(build_delf(KERAS), params)
    for part in ("missing: block1.0.conv1.bias", "left over: block9", "shape: atten"):
        assert part in str(caught.value)


def test_a_network_trains_and_a_frozen_backbone_stays_as_it_is(narrow):
    network = build_delf(KERAS)
    put_params(network, calm_params(KERAS))
    freeze_batch_norm(network.backbone)
    network.set_train()
    tensors = canonical_tensors(network)
    trained = [tensor for tensor in tensors.values() if tensor.requires_grad]
    before = get_params(network)

    def loss(x):
        return network(x)[1].mean()

    x = ms.Tensor(np.random.default_rng(0).normal(0, 1, (2, 3, 48, 48)), ms.float32)
    gradients = ms.value_and_grad(loss, None, trained)(x)[1]
    after = get_params(network)
    moved = {n for n in after if not np.array_equal(after[n], before[n])}
    assert moved == {"attention.bn1.running_mean", "attention.bn1.running_var"}
    reached = {
        name
        for name, gradient in zip(
            [n for n in tensors if tensors[n].requires_grad], gradients, strict=True
        )
        if np.abs(gradient.asnumpy()).max() > 0
    }
    assert {"conv1.weight", "bn1.weight", "block3.5.bn3.bias"} <= reached
    assert not any(name.startswith("block4") for name in reached)


def test_a_new_size_compiles_nothing(lite0, monkeypatch):
    from mindspore.graph._parse.parser import Parser  # noqa: TID251

    parsed = []
    real = Parser.parse
    monkeypatch.setattr(Parser, "parse", lambda self: parsed.append(1) or real(self))
    network = MsNetwork(Checkpoint(random_params(lite0.info), lite0.info), "cpu")
    network.dense(pictures(1, 64, 80), [(64, 80)])
    once = len(parsed)
    assert once > 0
    network.dense(pictures(2, 40, 90), [(40, 90), (33, 47), (80, 64)])
    assert len(parsed) == once


def test_operator_by_operator_gives_the_graphs_bits(lite0, monkeypatch):
    images = pictures(1, 60, 91)
    graph = lite0.dense(images, [(45, 70)])[0]
    monkeypatch.setenv("MS_JIT", "0")
    plain = lite0.dense(images, [(45, 70)])[0]
    np.testing.assert_array_equal(plain.attention, graph.attention)


def test_an_images_maps_are_the_same_bits_in_any_batch(lite0):
    images, sizes = pictures(3, 60, 91), [(30, 46), (85, 129)]
    together = lite0.dense(images, sizes)
    for i in range(3):
        alone = lite0.dense(images[i : i + 1], sizes)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one.attention[0], other.attention[i])
            cells = np.arange(one.attention.size)
            np.testing.assert_array_equal(one.gather(0, cells), other.gather(i, cells))


def test_gather_takes_row_major_cells_in_the_order_asked(lite0):
    maps = lite0.dense(pictures(2, 60, 91), [(60, 91)])[0]
    assert maps.attention.shape == (2, 4, 6) and maps.attention.dtype == np.float32
    rows = maps.gather(1, np.array([13, 2, 13]))
    assert rows.shape == (3, 112) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows[0], rows[2])
    attention = maps.attention[1].ravel()[[13, 2, 13]]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), attention, rtol=1e-5)
    none = maps.gather(0, np.zeros(0, np.intp))
    assert none.shape == (0, 112) and none.dtype == np.float32
    assert lite0.dense(pictures(1, 40, 40), []) == []


def test_weights_that_end_at_block3_have_no_global_maps(narrow):
    network = MsNetwork(Checkpoint(random_params(OFFICIAL_SLIM), OFFICIAL_SLIM), "cpu")
    with pytest.raises(DelfError, match="ends at block3"):
        network.global_maps(pictures(1, 64, 64), (64, 64))


def test_devices_that_are_not_there_are_refused_with_a_way_out(lite0):
    assert choose_device("cpu") == lite0.device == "cpu"
    for wrong in ("gpu", "cuda:0", "ascend:x", "ascend:-1", "cpu:3", ""):
        with pytest.raises(UsageError, match="auto, cpu and ascend:N"):
            choose_device(wrong)


def test_an_ascend_past_the_last_is_refused(lite0, monkeypatch):
    monkeypatch.setattr("delf_ms.device.count_ascends", lambda: 0)
    assert choose_device("auto") == "cpu"
    with pytest.raises(UsageError, match="no Ascend device; try --device cpu"):
        choose_device("ascend:0")
    monkeypatch.setattr("delf_ms.device.count_ascends", lambda: 2)
    with pytest.raises(UsageError, match="has 2 Ascend devices"):
        choose_device("ascend:2")


def test_a_second_device_in_one_process_is_refused(lite0):
    with pytest.raises(UsageError, match="already runs on cpu:0"):
        occupy("Ascend", 1)


@pytest.mark.parametrize(("level", "loudness"), [("", "3"), ("debug", "1")])
def test_mindspore_is_quiet_unless_asked_and_writes_elsewhere(
    monkeypatch, tmp_path, level, loudness
):
    monkeypatch.chdir(tmp_path)
    for name in ("GLOG_v", "MS_OM_PATH", "MS_COMPILER_CACHE_PATH"):
        monkeypatch.setenv(name, "")  # so that the end of the test puts them back
        monkeypatch.delenv(name)
    monkeypatch.setenv("DELF_LOG_LEVEL", level)
    monkeypatch.setenv("MS_COMPILER_CACHE_PATH", "mine")
    prepare_environment()
    assert os.environ["GLOG_v"] == loudness
    assert Path(os.environ["MS_OM_PATH"]).is_absolute()
    assert os.environ["MS_COMPILER_CACHE_PATH"] == "mine"
    assert not list(tmp_path.iterdir())


PROGRAM = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # as if it were not installed
from delf_common.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_line_runs_without_torch_quietly_and_tidily(tmp_path):
    from skimage import data

    write_jpeg(tmp_path / "a.jpg", np.ascontiguousarray(data.coffee()[::3, ::3]))
    quiet = {"OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    command = ["match", "a.jpg", "a.jpg", "--backend", "ms", "--output", "m.png"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=quiet,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "inliers" in done.stdout and done.stdout.count("\n") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "m.png"]
