# SPDX-License-Identifier: Apache-2.0
"""Weights between all formats, bit for bit; PCA and settings published beside them."""

import dataclasses
import itertools
import os
import pickle
import zlib

import numpy as np
import pytest

from delf_common.cli.main import main
from delf_common.errors import DelfError, UsageError
from delf_common.io.delf_proto import write_datum
from delf_common.io.text_proto import parse_text_proto
from delf_common.weights.architectures import RESNET_WIDTHS
from delf_common.weights.checkpoint import load_checkpoint, save_checkpoint
from delf_common.weights.convert import convert, import_weights
from delf_common.weights.metadata import Pca, WeightsInfo
from delf_common.weights.mindspore import choose_target, mindspore_name
from delf_common.weights.mindspore_ckpt import read_ckpt, write_ckpt
from delf_common.weights.names import parameter_shapes

KERAS = WeightsInfo("keras", "", "resnet50", "keras")
TRAINED = dataclasses.replace(
    KERAS, attention="trained", stage="attn", num_classes=3, block3_strides=True
)
DELG = dataclasses.replace(TRAINED, num_classes=0, autoencoder=6, embedding=7)
TORCHVISION = WeightsInfo("tv", "", "resnet50", "torchvision")
SLIM = WeightsInfo("slim", "", "resnet50", "slim", True, "trained", block4=False)
LITE0 = WeightsInfo("lite0", "", "efficientnet_lite0")
EVERY = {
    "keras": KERAS,
    "trained": TRAINED,
    "delg": DELG,
    "torchvision": TORCHVISION,
    "slim": SLIM,
    "lite0": LITE0,
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """ResNet-50 with few channels: the same names, quick to write."""
    for block, width in zip(RESNET_WIDTHS, (2, 3, 4, 5), strict=True):
        monkeypatch.setitem(RESNET_WIDTHS, block, width)


def random_params(info, seed=0):
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(info)
    return {n: rng.normal(0, 1, s).astype(np.float32) for n, s in shapes.items()}


def random_pca(channels, kept=4):
    rng = np.random.default_rng(5)
    shapes = (channels, (kept, channels), kept)
    return Pca(*(rng.uniform(1, 2, s).astype(np.float32) for s in shapes))


def save_example(path, info):
    info = dataclasses.replace(info, pca=random_pca(16), extraction={"pca_dim": 4})
    params = random_params(info)
    save_checkpoint(path, params, info)
    return params


# --- round trips ----------------------------------------------------------------------


def formats_of(info):
    both = [".safetensors", ".pth", ".ckpt"]
    return [*both, ".h5"] if info.variant == "keras" else both


PAIRS = [
    pytest.param(name, one, other, id=f"{name}{one}{other}")
    for name, info in EVERY.items()
    for one, other in itertools.permutations(formats_of(info), 2)
]


@pytest.mark.parametrize(("name", "one", "other"), PAIRS)
def test_every_pair_of_formats_keeps_every_bit(tmp_path, name, one, other):
    if ".pth" in (one, other):
        pytest.importorskip("torch", reason=".pth files need torch")
    first = tmp_path / "start.safetensors"
    params = save_example(first, EVERY[name])
    for source, target in (
        (first, tmp_path / f"a{one}"),
        (tmp_path / f"a{one}", tmp_path / f"b{other}"),
        (tmp_path / f"b{other}", tmp_path / "back.safetensors"),
    ):
        report = convert(source, target, name="same")
        assert len(report.placed) == len(params) and not report.unused
        assert not report.notes
    back, start = load_checkpoint(tmp_path / "back.safetensors"), load_checkpoint(first)
    assert list(back.params) == list(start.params)
    for key, array in params.items():
        np.testing.assert_array_equal(back.params[key], array, err_msg=key)
    for part in ("mean", "components", "variances"):
        one, two = (getattr(c.info.pca, part) for c in (back, start))
        np.testing.assert_array_equal(one, two)
    plain = [
        dataclasses.replace(c.info, sha256="", pca=None, name="") for c in (back, start)
    ]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".ckpt", ".h5"])
def test_the_same_weights_give_the_same_bytes(tmp_path, ending):
    if ending == ".pth":
        pytest.importorskip("torch", reason=".pth files need torch")
    save_example(tmp_path / "start.safetensors", TRAINED)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        convert(tmp_path / "start.safetensors", tmp_path / folder / f"w{ending}")
    one, two = (tmp_path / folder / f"w{ending}" for folder in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_formats_that_cannot_hold_the_weights_are_refused(tmp_path):
    start = tmp_path / "s.safetensors"
    save_example(start, SLIM)
    with pytest.raises(DelfError, match=r"holds Keras' ResNet-50, not resnet50 slim"):
        convert(start, tmp_path / "o.h5")
    with pytest.raises(DelfError, match=r"for \.safetensors only"):
        convert(start, tmp_path / "o.ckpt", dtype="float16")
    with pytest.raises(DelfError, match=r"in \.pth, \.ckpt, \.h5"):
        convert(start, tmp_path / "o.mindir")
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]


def test_bare_canonical_names_need_the_variant_where_it_is_not_seen(tmp_path):
    for info in (TORCHVISION, SLIM, KERAS):
        params = random_params(info)
        write_ckpt(tmp_path / "w.ckpt", params)
        if info.variant != "keras":
            with pytest.raises(DelfError, match="--variant torchvision or"):
                import_weights(tmp_path / "w.ckpt")
        _, found, imported = import_weights(tmp_path / "w.ckpt", info.variant)
        assert found.variant == info.variant
        assert set(imported.params) == set(params)


# --- the MindSpore DELF ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "canonical"),
    [  # read off the original's delf_model.py, see delf_spec.md A.8
        ("conv1.weight", "conv1.weight"),
        ("bn_conv1.moving_variance", "bn1.running_var"),
        ("res2a_branch2a.weight", "block1.0.conv1.weight"),
        ("bn2a_branch2a.gamma", "block1.0.bn1.weight"),
        ("res3d_branch2b.bias", "block2.3.conv2.bias"),
        ("res4f_branch2c.bias", "block3.5.conv3.bias"),
        ("res5a_branch1.weight", "block4.0.shortcut.conv.weight"),
        ("bn5a_branch1.moving_mean", "block4.0.shortcut.bn.running_mean"),
        ("attention.conv1_needl2.weight", "attention.conv1.weight"),
        ("attention.bn1.beta", "attention.bn1.bias"),
        ("attention.conv2_needl2.bias", "attention.conv2.bias"),
        ("desc.weight", "desc.weight"),
        ("attn.bias", "attn.bias"),
    ],
)
def test_the_originals_names_are_known_in_both_directions(name, canonical):
    assert choose_target(name).name == canonical
    assert mindspore_name(canonical, TRAINED) == name


def original_ckpt(path, info=TRAINED):
    """A file as the original's training leaves it, with its optimiser's state."""
    params = random_params(info)
    arrays = {mindspore_name(name, info): params[name] for name in params}
    moments = {f"moments.{name}": np.zeros_like(arrays[name]) for name in arrays}
    counters = {"global_step": np.zeros(1, np.float32)}
    counters["learning_rate"] = np.float32(0.01).reshape(())
    write_ckpt(path, arrays | moments | counters)
    return params


def test_an_old_checkpoint_lives_on_and_goes_back(tmp_path, capsys):
    params = original_ckpt(tmp_path / "old.ckpt")
    new, back = tmp_path / "new.safetensors", tmp_path / "back.ckpt"
    assert main(["convert", str(tmp_path / "old.ckpt"), str(new)]) == 0
    printed = capsys.readouterr().out
    assert "not used: state of the optimiser" in printed
    assert "note: block3_strides is true" in printed
    info = load_checkpoint(new).info
    assert (info.variant, info.attention, info.num_classes) == ("keras", "trained", 3)
    assert info.block3_strides and info.stage == "attn"
    assert main(["convert", str(new), str(back)]) == 0
    arrays = read_ckpt(back)
    assert bytes(arrays.pop("delf")).startswith(b"{")
    assert set(arrays) == {mindspore_name(name, TRAINED) for name in params}
    for name in params:
        np.testing.assert_array_equal(
            arrays[mindspore_name(name, TRAINED)], params[name]
        )


def test_the_tuning_stages_checkpoint_has_no_attention(tmp_path):
    tuned = dataclasses.replace(TRAINED, attention="feature_norm", stage="tuning")
    original_ckpt(tmp_path / "old.ckpt", tuned)
    _, info, _ = import_weights(tmp_path / "old.ckpt")
    assert (info.attention, info.stage, info.num_classes) == (
        "feature_norm",
        "tuning",
        3,
    )


def test_swapped_kernels_are_put_right_only_when_told(tmp_path):
    params = original_ckpt(tmp_path / "old.ckpt")
    for flag in (False, True):
        convert(
            tmp_path / "old.ckpt",
            tmp_path / "new.safetensors",
            swapped_kernels=flag,
            overwrite=True,
        )
        found = load_checkpoint(tmp_path / "new.safetensors").params
        for name, array in params.items():
            three = array.shape[2:] == (3, 3)
            wanted = array.transpose(0, 1, 3, 2) if flag and three else array
            np.testing.assert_array_equal(found[name], wanted, err_msg=name)
    start, back = tmp_path / "new.safetensors", tmp_path / "back.ckpt"
    convert(start, back, swapped_kernels=True)
    arrays, name = read_ckpt(back), "res3b_branch2b.weight"
    np.testing.assert_array_equal(arrays[name], params["block2.1.conv2.weight"])
    with pytest.raises(UsageError, match=r"--swapped_kernels: neither"):
        convert(start, tmp_path / "x.safetensors", swapped_kernels=True)


def test_what_an_old_checkpoint_lacks_or_has_too_much_is_listed(tmp_path):
    params = random_params(TRAINED)
    arrays = {mindspore_name(name, TRAINED): params[name] for name in params}
    del arrays["res4c_branch2b.bias"]
    arrays["res4g_branch2a.weight"] = np.zeros(2, np.float32)
    write_ckpt(tmp_path / "w.ckpt", arrays)
    with pytest.raises(DelfError) as caught:
        convert(tmp_path / "w.ckpt", tmp_path / "o.safetensors")
    assert "missing: block3.2.conv2.bias" in str(caught.value)
    assert "left over: res4g_branch2a.weight (2,)" in str(caught.value)
    assert not (tmp_path / "o.safetensors").exists()


# --- MindSpore's file format ----------------------------------------------------------


def example_arrays():
    rng = np.random.default_rng(0)
    return {
        "a.weight": rng.normal(0, 1, (3, 2, 1, 4)).astype(np.float32),
        "half": rng.normal(0, 1, 5).astype(np.float16),
        "bytes": np.arange(7, dtype=np.uint8),
        "größe": np.zeros((2, 0), np.float32),
    }


def test_a_ckpt_gives_back_every_bit(tmp_path):
    write_ckpt(tmp_path / "w.ckpt", example_arrays())
    found = read_ckpt(tmp_path / "w.ckpt")
    assert list(found) == list(example_arrays())
    for name, array in example_arrays().items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_mindspore_reads_what_we_write_and_we_what_it_writes(tmp_path, monkeypatch):
    ms = pytest.importorskip("mindspore", reason="the file's other reader")
    monkeypatch.chdir(tmp_path)
    arrays = example_arrays()
    del arrays["größe"]  # MindSpore has no tensors without elements
    write_ckpt(tmp_path / "ours.ckpt", arrays)
    loaded = ms.load_checkpoint(str(tmp_path / "ours.ckpt"))
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name].asnumpy(), array)
    values = arrays | {"step": np.array(7, np.int32), "flag": np.array([True])}
    content = [{"name": n, "data": ms.Tensor(a)} for n, a in values.items()]
    content.append({"name": "b16", "data": ms.Tensor([1.5, -2.0], ms.bfloat16)})
    for checked in (False, True):
        path = tmp_path / f"theirs{checked}.ckpt"
        ms.save_checkpoint(
            content, str(path), append_dict={"epoch": 3}, crc_check=checked
        )
        found = read_ckpt(path)
        for name, array in values.items():
            assert found[name].shape == array.shape
            np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(found["b16"], np.float32([1.5, -2.0]))


def test_a_damaged_ckpt_is_refused(tmp_path):
    path = tmp_path / "w.ckpt"
    write_ckpt(path, example_arrays())
    good = path.read_bytes()
    checksum = b"crc_num" + zlib.crc32(good).to_bytes(10, "big")
    path.write_bytes(good + checksum)
    assert set(read_ckpt(path)) == set(example_arrays())
    flipped = bytearray(good + checksum)
    flipped[60] ^= 1
    broken = (b"", b"junk", bytes(flipped), good[:-3], b"PK\x03\x04" + good)
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(DelfError, match="not a readable MindSpore checkpoint"):
            read_ckpt(path)


class Trap:
    """Unpickling this creates a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("ending", [".ckpt", ".h5", ".safetensors", ".pb", ".index"])
def test_a_pickle_under_any_name_does_not_run(tmp_path, ending, capsys):
    marker, source = tmp_path / "ran", tmp_path / f"evil{ending}"
    source.write_bytes(pickle.dumps({"conv1.weight": Trap(marker)}))
    assert main(["convert", str(source), str(tmp_path / "o.safetensors")]) == 1
    assert "evil" in capsys.readouterr().err
    assert not marker.exists()
    pickle.loads(source.read_bytes())  # the trap does work
    assert marker.exists()


# --- settings and PCA that TensorFlow publishes beside the weights --------------------

CONFIG = """
# as in delf/python/examples
model_path: "parameters/delf_gld_20190411/model/"
image_scales: .25
image_scales: [0.35355338, 1.0]
is_tf2_exported: false
delf_local_config {
  use_pca: true
  max_feature_num: 1000  score_threshold: 175.0,
  pca_parameters: <
    mean_path: "parameters/" 'x/mean.datum'
    projection_matrix_path: "parameters/x/pca_proj_mat.datum"
    pca_dim: 3;
    use_whitening: false
  >
}
max_image_size: 1024
min_image_size: -1
"""


def test_a_text_message_is_read_without_its_schema():
    found = parse_text_proto(CONFIG)
    assert found["image_scales"] == [0.25, 0.35355338, 1.0]
    assert found["is_tf2_exported"] == [False]
    (local,) = found["delf_local_config"]
    assert local["pca_parameters"][0]["mean_path"] == ["parameters/x/mean.datum"]
    assert local["score_threshold"] == [175.0]
    assert parse_text_proto("") == {} == parse_text_proto("# nothing\n")


@pytest.mark.parametrize(
    "text", ["a {", "a: ", "a: }", "{", "a: [1", 'a: "open', "a { b: 1 >", "a {" * 50]
)
def test_broken_text_messages_are_refused(text):
    with pytest.raises(DelfError):
        parse_text_proto(text)


def test_published_settings_and_pca_go_into_the_checkpoint(tmp_path):
    start, folder = tmp_path / "s.safetensors", tmp_path / "pca"
    save_checkpoint(start, random_params(SLIM), SLIM)
    pca = random_pca(16, 8)
    write_datum(folder / "mean.datum", pca.mean)
    write_datum(folder / "pca_proj_mat.datum", pca.components)
    config = tmp_path / "delf_config.pbtxt"
    config.write_text(CONFIG)
    target = tmp_path / "o.safetensors"
    command = ["convert", str(start), str(target), "--delf_config", str(config)]
    assert main(command) == 0  # the PCA is found beside the source
    info = load_checkpoint(target).info
    assert info.score_threshold == 175.0
    assert info.extraction == {
        "image_scales": [0.25, 0.35355338, 1.0],
        "max_image_size": 1024,
        "use_pca": True,
        "use_whitening": False,
        "max_feature_num": 1000,
        "pca_dim": 3,
    }
    np.testing.assert_array_equal(info.pca.components, pca.components[:3])
    np.testing.assert_array_equal(info.pca.mean, pca.mean)
    assert info.pca.variances.tolist() == [1, 1, 1]  # none were published
    write_datum(folder / "pca_variances.datum", pca.variances)
    assert main([*command[:3], "--pca", str(folder), "--overwrite"]) == 0
    info = load_checkpoint(target).info
    np.testing.assert_array_equal(info.pca.variances, pca.variances)
    assert info.score_threshold is None and not info.extraction


def test_a_pca_that_is_missing_or_does_not_fit_is_refused(tmp_path):
    start, config = tmp_path / "s.safetensors", tmp_path / "c.pbtxt"
    save_checkpoint(start, random_params(SLIM), SLIM)
    config.write_text(CONFIG)
    target = tmp_path / "o.safetensors"
    with pytest.raises(DelfError, match=r"mean\.datum.* is not found in"):
        convert(start, target, delf_config=config)
    with pytest.raises(DelfError, match="has no PCA"):
        convert(start, target, pca=tmp_path)
    write_datum(tmp_path / "mean.datum", np.zeros(16, np.float32))
    for shape in ((4, 15), (0, 16), (16,)):
        write_datum(tmp_path / "pca_proj_mat.datum", np.zeros(shape, np.float32))
        with pytest.raises(DelfError, match="make no PCA"):
            convert(start, target, pca=tmp_path)
    write_datum(tmp_path / "pca_proj_mat.datum", np.zeros((2, 16), np.float32))
    with pytest.raises(DelfError, match="pca_dim 3 is not between 1 and the PCA's 2"):
        convert(start, target, pca=tmp_path, delf_config=config)
    for text in ("delf_local_config: 3", "image_scales: big"):
        config.write_text(text)
        with pytest.raises(DelfError, match="is no delf_config"):
            convert(start, target, delf_config=config)
    assert not target.exists()
