# SPDX-License-Identifier: Apache-2.0
"""The official TensorFlow releases: same names, same shapes, same numbers.

The files themselves cannot be had here, so packages of the same form are written by
TensorFlow, and its graphs are run beside our networks.
"""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow", reason="the official format's own writer")
torch = pytest.importorskip("torch", reason="our networks run in torch here")

import tf_delf  # noqa: E402
import tf_packages  # noqa: E402

from delf_common.cli.main import main  # noqa: E402
from delf_common.errors import DelfError  # noqa: E402
from delf_common.extraction.global_descriptor import describe_globally  # noqa: E402
from delf_common.io.images import read_image  # noqa: E402
from delf_common.weights.checkpoint import load_checkpoint  # noqa: E402
from delf_common.weights.convert import convert, import_weights  # noqa: E402
from delf_common.weights.mindspore_ckpt import write_ckpt  # noqa: E402
from delf_common.weights.sources import read_source  # noqa: E402
from delf_torch import load_network  # noqa: E402

TOLERANCE = 1e-4  # largest difference over largest value (design.md section 8)
SIZES = [(161, 130), (128, 193)]  # odd and even, both ways round
PHOTO = Path(__file__).parents[2] / "shared/data/minibench/images/barn_00.jpg"


def photo():
    return read_image(PHOTO, max_pixels=10**8)


def picture(size):
    """A real photograph's corner where there is one, else smooth noise."""
    if PHOTO.is_file():
        return np.ascontiguousarray(photo()[: size[0], : size[1]])
    rows, columns = np.ogrid[: size[0], : size[1]]
    waves = [128 + 100 * np.sin(rows / k + columns / (k + 3)) for k in (5, 11, 23)]
    return np.stack(waves, -1).astype(np.uint8)


def difference(actual, wanted):
    """Largest absolute and relative difference."""
    assert actual.shape == wanted.shape
    assert np.isfinite(actual).all() and np.isfinite(wanted).all()
    absolute = float(np.abs(actual.astype(np.float64) - wanted).max())
    return absolute, absolute / float(np.abs(wanted).max())


def ours(network, image):
    """Features (h, w, C) and attention (h, w) of our network."""
    maps = network.dense(image[None], [image.shape[:2]])[0]
    height, width = maps.attention.shape[1:]
    rows = maps.gather(0, np.arange(height * width))
    return rows.reshape(height, width, -1), maps.attention[0]


def compare(route, path, run, capsys):
    """Our features and attention against TensorFlow's; figures are printed."""
    network = load_network(path, "cpu")
    for size in SIZES:
        image = picture(size)
        pairs = zip(("features", "attention"), ours(network, image), run(image))  # noqa: B905
        for what, actual, wanted in pairs:
            absolute, relative = difference(actual, np.asarray(wanted))
            with capsys.disabled():
                figures = f"{absolute:.2e} {relative:.2e}"
                print(f"\n{route} {size} {what}: {figures}", end="")  # noqa: T201
            assert relative <= TOLERANCE, (what, size)
    return network


# --- TF1, slim ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slim():
    return tf_delf.slim_values(logits=True)


@pytest.fixture(scope="module")
def slim_package(slim, tmp_path_factory):
    return tf_packages.write_slim(slim, tmp_path_factory.mktemp("slim"))


@pytest.mark.parametrize(
    "form",
    ["", "model", "model/variables/variables.index", "frozen_model", "frozen.pb"],
)
def test_tf1_delf_gives_tensorflows_maps(slim, slim_package, form, tmp_path, capsys):
    target = tmp_path / "slim.safetensors"
    assert main(["convert", str(slim_package / form), str(target)]) == 0
    info = load_checkpoint(target).info
    assert (info.variant, info.attention, info.block4) == ("slim", "trained", False)
    assert info.block3_strides and info.stage == "attn" and not info.num_classes
    printed = capsys.readouterr().out
    assert "TF1-slim DELF -> resnet50 / slim" in printed
    if "frozen" not in form:  # which has no classifier and no optimiser
        assert "logits/weights  " in printed and "for training only" in printed
        assert "state of the optimiser" in printed
    graph = tf_packages.slim_graph(slim)
    compare(f"TF1 {form or 'package'}", target, graph, capsys)


def test_the_readers_arrays_are_tensorflows_own(slim, slim_package):
    prefix = str(slim_package / "model/variables/variables")
    reader = tf.train.load_checkpoint(prefix)
    found = read_source(slim_package).arrays
    assert set(found) == set(reader.get_variable_to_shape_map()) == set(slim)
    for name in slim:
        assert found[name].dtype == reader.get_tensor(name).dtype
        np.testing.assert_array_equal(found[name], reader.get_tensor(name))


def test_every_type_and_shard_is_read_as_tensorflow_wrote_it(tmp_path):
    kinds = ("float16", "bfloat16", "float64", "int32", "int64", "uint8", "bool")
    values = {k: tf.cast(tf.constant([[0.0, 1.5, 3.0]]), k) for k in kinds}
    root = tf.train.Checkpoint(**{k: tf.Variable(v) for k, v in values.items()})
    found = read_source(Path(root.write(str(tmp_path / "ck")))).arrays
    for kind, value in values.items():
        array = found[f"{kind}/.ATTRIBUTES/VARIABLE_VALUE"]
        wanted = tf.cast(value, "float32") if kind == "bfloat16" else value
        np.testing.assert_array_equal(array, wanted.numpy())


def test_a_variable_that_has_no_place_stops_the_conversion(tmp_path):
    values = tf_delf.slim_values()
    values["resnet_v1_50/block3/unit_9/bottleneck_v1/conv1/weights"] = np.zeros(3)
    del values["resnet_v1_50/conv1/BatchNorm/gamma"]
    save_by_name(values, tmp_path / "model.ckpt-5")
    with pytest.raises(DelfError) as caught:
        convert(tmp_path / "model.ckpt-5", tmp_path / "o.safetensors")
    assert "missing: bn1.weight" in str(caught.value)
    assert "unit_9/bottleneck_v1/conv1/weights (3,)" in str(caught.value)


def save_by_name(values, prefix):
    """A checkpoint of TF1's Saver."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, array in values.items():
            v1.get_variable(name, initializer=array, use_resource=False)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(prefix), write_meta_graph=False)


# --- TF2 ------------------------------------------------------------------------------


@pytest.mark.parametrize("strides", [True, False])
def test_tf2_delf_checkpoint_gives_tensorflows_maps(strides, tmp_path, capsys):
    values = tf_delf.tf2_values(1, classes=5)
    tf_packages.write_tf2_checkpoint(values, tmp_path / "logs")
    target = tmp_path / "tf2.safetensors"
    chosen = [] if strides else ["--block3_strides", "false"]
    assert main(["convert", str(tmp_path / "logs"), str(target), *chosen]) == 0
    assert ("note: block3_strides is true" in capsys.readouterr().out) == strides
    info = load_checkpoint(target).info
    assert (info.variant, info.num_classes, info.block4) == ("keras", 5, True)
    graph = tf_packages.tf2_graph(values, strides)
    compare(f"TF2 DELF checkpoint, strides {strides}", target, graph, capsys)


def test_tf2_delg_saved_model_gives_tensorflows_maps_and_descriptor(tmp_path, capsys):
    values = tf_delf.tf2_values(2, autoencoder=128, embedding=2048)
    tf_packages.write_saved_model(values, tmp_path / "delg")
    entries = tf.train.load_checkpoint(str(tmp_path / "delg/variables/variables"))
    keys = entries.get_variable_to_shape_map()
    assert not any("l4b/conv2a/kernel" in key for key in keys)  # only "kept/17"
    target = tmp_path / "delg.safetensors"
    assert main(["convert", str(tmp_path / "delg"), str(target)]) == 0
    assert "ArcFace classifier" in capsys.readouterr().out
    info = load_checkpoint(target).info
    assert (info.autoencoder, info.embedding) == (128, 2048)
    loaded = tf.saved_model.load(str(tmp_path / "delg"))
    network = compare("TF2 DELG SavedModel", target, loaded.extract, capsys)
    assert network.channels == 128
    image = picture(SIZES[0])
    maps = network.global_maps(image[None], image.shape[:2])
    actual = describe_globally(maps, load_checkpoint(target))[0]
    absolute, relative = difference(actual, loaded.extract(image)[2].numpy())
    with capsys.disabled():
        figures = f"{absolute:.2e} {relative:.2e}"
        print(f"\nTF2 DELG global descriptor: {figures}", end="")  # noqa: T201
    assert relative <= TOLERANCE


def test_keras_h5_gives_tensorflows_maps(tmp_path, capsys):
    values = tf_delf.tf2_values(3)
    tf_packages.write_keras_h5(values, tmp_path / "w.h5")
    target = tmp_path / "keras.safetensors"
    assert main(["convert", str(tmp_path / "w.h5"), str(target)]) == 0
    graph = tf_packages.tf2_graph(values, strides=False)

    def run(image):
        features = graph(image)[0].numpy()
        return features, np.linalg.norm(features, axis=-1)

    compare("Keras .h5", target, run, capsys)


def test_mindspores_ckpt_gives_tensorflows_maps(tmp_path, capsys):
    values = tf_delf.tf2_values(4)
    write_ckpt(tmp_path / "w.ckpt", tf_packages.mindspore_arrays(values))
    target = tmp_path / "ms.safetensors"
    assert main(["convert", str(tmp_path / "w.ckpt"), str(target)]) == 0
    compare("MindSpore .ckpt", target, tf_packages.tf2_graph(values), capsys)


def test_tensorflow_files_that_are_damaged_are_refused(tmp_path):
    path = tf.train.Checkpoint(a=tf.Variable([1.0, 2.0])).write(str(tmp_path / "ck"))
    index, data = Path(f"{path}.index"), Path(f"{path}.data-00000-of-00001")
    for file in (index, data):
        good = file.read_bytes()
        for content in (b"", b"junk", good[: len(good) // 2]):
            file.write_bytes(content)
            with pytest.raises(DelfError):
                import_weights(Path(path))
        file.write_bytes(good)
    data.unlink()
    with pytest.raises(DelfError, match="cannot be read"):
        import_weights(index)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DelfError, match="holds no TensorFlow model"):
        import_weights(tmp_path / "empty")
