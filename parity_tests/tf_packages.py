# SPDX-License-Identifier: Apache-2.0
"""Weight files of the official kinds, written by their own programs.

The official files cannot be had where the tests run, so TensorFlow writes packages of
the same form, with the names of `tf_delf`; h5py writes Keras' file of 2015.
"""

import re

import h5py
import tensorflow as tf
import tf_delf

KERAS_LAYER = re.compile(r"backbone/(?:l(\d)([a-f])/)?(\w+)")


def write_slim(values, folder):
    """A package as delf_v1_20171026: model/ with variables, and frozen beside it."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        named = {
            name: v1.get_variable(name, initializer=array, use_resource=False)
            for name, array in values.items()
        }
        image = v1.placeholder(tf.uint8, (None, None, 3), "input_image")
        outputs = tf_delf.slim_delf(image, named)
        outputs = [tf.identity(t, n) for t, n in zip(outputs, "fa", strict=True)]
        session.run(v1.global_variables_initializer())
        named = dict(zip(("features", "attention"), outputs, strict=True))
        v1.saved_model.simple_save(
            session, str(folder / "model"), {"image": image}, named
        )
        graph = v1.graph_util.convert_variables_to_constants(
            session, session.graph_def, ["f", "a"]
        )
        (folder / "frozen.pb").write_bytes(graph.SerializeToString())
    frozen = folder / "frozen_model"
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph, name="")
        found = {name: session.graph.get_tensor_by_name(f"{name}:0") for name in "fa"}
        image = session.graph.get_tensor_by_name("input_image:0")
        v1.saved_model.simple_save(session, str(frozen), {"image": image}, found)
    return folder


def slim_graph(values):
    """Function of the image that TensorFlow runs."""
    constants = {name: tf.constant(array) for name, array in values.items()}
    return tf.function(lambda image: tf_delf.slim_delf(image, constants))


def write_tf2_checkpoint(values, folder):
    """A checkpoint as the training script leaves it."""
    model = tf_delf.module_of(values)
    tf.train.CheckpointManager(
        tf.train.Checkpoint(model=model, step=tf.Variable(3, dtype=tf.int64)),
        str(folder),
        2,
        checkpoint_name="delf_tf2-ckpt",
    ).save()
    return folder


def tf2_graph(values, strides=True):
    """Function of the image that TensorFlow runs."""
    constants = {name: tf.constant(array) for name, array in values.items()}
    return tf.function(lambda image: tf_delf.tf2_delf(image, constants, strides))


class Exported(tf.Module):
    """As the export scripts do: the model under _model, one function."""

    def __init__(self, model, values):
        super().__init__()
        self._model = model
        self.kept = list(model.variables)  # Keras, too, keeps such lists
        self._values = values

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def extract(self, image):
        return tf_delf.tf2_delf(image, self._values)


def write_saved_model(values, folder):
    """A SavedModel as the export script leaves it."""
    model = tf_delf.module_of(values)
    held = {path: follow(model, path) for path in values}
    tf.saved_model.save(Exported(model, held), str(folder))
    return folder


def follow(node, path):
    for name in path.split("/"):
        node = getattr(node, name)
    return node


def keras_name(layer):
    """Name of 2015 for a layer of the TF2 DELF, as res4b_branch2a; "" for none."""
    found = KERAS_LAYER.fullmatch(layer)
    if not found:
        return ""
    stage, unit, inner = found.groups()
    if not stage:
        return inner
    kind, branch = ("bn", inner[2:]) if inner.startswith("bn") else ("res", inner[4:])
    return f"{kind}{stage}{unit}_branch{'1' if branch == '_shortcut' else branch}"


def write_keras_h5(values, path):
    """The backbone as resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 has it."""
    words = {"kernel": "W", "bias": "b", "moving_variance": "running_std"}
    words |= {"moving_mean": "running_mean"}
    layers: dict = {}
    for name, array in values.items():
        layer, _, part = name.rpartition("/")
        if keras_name(layer):
            layers.setdefault(keras_name(layer), {})[words.get(part, part)] = array
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, arrays in layers.items():
            named = {f"{layer}_{part}_1:0": array for part, array in arrays.items()}
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in named]
            for name, array in named.items():
                group[name] = array
    return path


def mindspore_arrays(values):
    """The arrays under the names of the MindSpore DELF, kernels OIHW."""
    attention = {"conv1": "conv1_needl2", "bn_conv1": "bn1", "conv2": "conv2_needl2"}
    arrays = {}
    for name, array in values.items():
        layer, _, part = name.rpartition("/")
        if layer.startswith("attention/"):
            layer = f"attention.{attention[layer.removeprefix('attention/')]}"
        else:
            layer = keras_name(layer)
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        arrays[f"{layer}.{'weight' if part == 'kernel' else part}"] = array
    return arrays
