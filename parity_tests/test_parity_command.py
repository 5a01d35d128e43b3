# SPDX-License-Identifier: Apache-2.0
"""``delf parity``: any user's weights and photograph, on the installed backends."""

import dataclasses
import json

import numpy as np
import pytest
from small_networks import KERAS, calm_params

torch = pytest.importorskip("torch")

from delf_common.cli.main import main  # noqa: E402
from delf_common.config import ExtractConfig  # noqa: E402
from delf_common.demo import write_jpeg  # noqa: E402
from delf_common.errors import DelfError  # noqa: E402
from delf_common.parity.limits import LIMITS  # noqa: E402
from delf_common.parity.report import first_fault, format_report, judge  # noqa: E402
from delf_common.parity.running import compare_backends  # noqa: E402
from delf_common.weights.checkpoint import Checkpoint, save_checkpoint  # noqa: E402
from delf_torch.network import TorchNetwork  # noqa: E402

CONFIG = ExtractConfig(image_scales=(0.7, 1.0), max_feature_num=20)
SMALL = ["--image_scales", "0.7,1", "--max_feature_num", "20"]


@pytest.fixture
def photo():
    from skimage import data

    return np.ascontiguousarray(data.coffee()[::4, ::4])


@pytest.fixture
def call(narrow, tmp_path, photo):
    """Arguments of a small network and a photograph."""
    weights, picture = tmp_path / "small.safetensors", tmp_path / "photo.jpg"
    save_checkpoint(weights, calm_params(KERAS), KERAS)
    write_jpeg(picture, photo)
    return ["parity", str(picture), "--weights", str(weights), *SMALL]


def torch_network(params, info=KERAS):
    return TorchNetwork(Checkpoint(params, info), torch.device("cpu"))


def judged(params, photo, tolerance=None, info=KERAS):
    """Rows of a changed network beside the small one."""
    networks = {
        "a": torch_network(calm_params(KERAS)),
        "b": torch_network(params, info),
    }
    return judge(compare_backends(networks, photo, CONFIG, tolerance)["b"], tolerance)


def test_torch_and_ms_agree_and_every_stage_is_shown(call, capsys):
    pytest.importorskip("mindspore")
    assert main([*call, "--backends", "torch", "ms", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agree"] and found["reference"] == "torch"
    rows = {row["stage"]: row for row in found["backends"]["ms"]}
    assert list(rows) == list(LIMITS)
    assert rows["normalise"]["difference"] == 0 < rows["block1"]["difference"] < 1e-5
    assert rows["keypoints"]["common"] == rows["keypoints"]["firm"] + 1 == 20


def test_past_the_tolerance_the_exit_code_is_1_and_the_stage_is_named(call, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    onnx = [*call, "--backends", "torch:cpu", "onnx"]
    assert main(onnx) == 0
    assert "onnx agrees with torch:cpu" in capsys.readouterr().out
    assert main([*onnx, "--tolerance", "1e-12"]) == 1
    text = capsys.readouterr().out
    assert "onnx does NOT agree with torch:cpu: they part at features" in text
    assert "TOO LARGE" in text


@pytest.mark.parametrize(
    ("layer", "stage"),
    [
        ("bn1.bias", "stem"),
        ("block1.2.bn3.bias", "block1"),
        ("block2.0.conv2.weight", "block2"),
        ("block3.5.bn3.bias", "block3"),
        ("attention.conv2.weight", "attention"),
    ],
)
def test_the_first_stage_that_differs_is_named(narrow, photo, layer, stage):
    params = calm_params(KERAS)
    assert first_fault(judged(params, photo)) is None
    params[layer] = params[layer] * np.float32(1.1)
    rows = judged(params, photo)
    assert first_fault(rows) == stage
    assert f"they part at {stage}" in format_report("a", {"b": rows})


def test_another_epsilon_or_order_of_channels_is_seen(narrow, photo):
    params = calm_params(KERAS)
    params["conv1.weight"] = np.ascontiguousarray(params["conv1.weight"][:, ::-1])
    assert first_fault(judged(params, photo)) == "stem"
    epsilon = calm_params(KERAS)
    epsilon["bn1.running_var"] = epsilon["bn1.running_var"] + np.float32(1e-3 - 1e-5)
    assert first_fault(judged(epsilon, photo)) == "stem"


def test_keypoints_that_differ_without_equal_scores_are_faults(narrow, photo):
    params = calm_params(KERAS)
    params["attention.conv2.weight"] = -params["attention.conv2.weight"]
    rows = {row["stage"]: row for row in judged(params, photo)}
    assert not rows["keypoints"]["within"]
    assert rows["keypoints"]["fault_count"] >= len(rows["keypoints"]["faults"]) > 0


def test_networks_of_other_shapes_and_tiny_photographs_are_refused(narrow, photo):
    strided = dataclasses.replace(KERAS, block3_strides=True)
    with pytest.raises(DelfError, match="shape"):
        judged(calm_params(strided), photo, info=strided)
    with pytest.raises(DelfError, match="too small"):
        judged(calm_params(KERAS), photo[:9, :9])


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--backends", "torch"], 2, "at least two"),
        (["--backends", "torch", "torch"], 2, "each once"),
        (["--backends", "torch", "tf"], 2, "no such backend"),
        (["--backends", "torch", "torch:gpu"], 2, "--device gpu"),
        (["--tolerance", "0"], 2, "must be above 0"),
        (["--iou_threshold", "0.5"], 2, "suppression overrules"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, capsys, more, code, message):
    assert main([*call, *more]) == code
    assert message in capsys.readouterr().err
