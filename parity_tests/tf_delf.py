# SPDX-License-Identifier: Apache-2.0
"""DELF as TensorFlow has it, written with plain tf.nn from delf_spec.md A, B and I.

Variables have the names and shapes of the official releases, and random values. The
tests compare these graphs with our networks; nothing here knows our names.
"""

import numpy as np
import tensorflow as tf

WIDTHS = (64, 128, 256, 512)
SLIM_UNITS = (3, 4, 6)
KERAS_UNITS = (3, 4, 6, 3)
ATTENTION = "attention_block/attention/compute"


class Values:
    """Random variables: convolutions keep the scale, statistics are moderate."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.named = {}

    def kernel(self, name, side, before, after):
        scale = np.sqrt(2 / (side * side * before))
        shape = (side, side, before, after)
        self.named[name] = self.rng.normal(0, scale, shape).astype(np.float32)

    def vector(self, name, size, low, high):
        self.named[name] = self.rng.uniform(low, high, size).astype(np.float32)

    def norm(self, at, size, gain=1.0):
        self.vector(f"{at}/gamma", size, 0.5 * gain, 1.5 * gain)
        self.vector(f"{at}/beta", size, -0.2, 0.2)
        self.vector(f"{at}/moving_mean", size, -0.2, 0.2)
        self.vector(f"{at}/moving_variance", size, 0.5, 1.5)


def normalised(image):
    return (tf.cast(image, tf.float32)[None] - 128) / 128


def batch_norm(x, at, v, eps):
    parts = (v[f"{at}/{part}"] for part in ("moving_mean", "moving_variance"))
    return tf.nn.batch_normalization(x, *parts, v[f"{at}/beta"], v[f"{at}/gamma"], eps)


# --- TF1, slim ------------------------------------------------------------------------


def slim_values(seed=0, logits=False):
    """Variables of delf_v1_20171026 and delf_gld_20190411 by their names."""
    values = Values(seed)
    values.kernel("resnet_v1_50/conv1/weights", 7, 3, 64)
    values.norm("resnet_v1_50/conv1/BatchNorm", 64)
    before = 64
    for block, (width, units) in enumerate(
        zip(WIDTHS, SLIM_UNITS, strict=False), start=1
    ):
        for unit in range(1, units + 1):
            at = f"resnet_v1_50/block{block}/unit_{unit}/bottleneck_v1"
            sizes = {"conv1": (1, before, width), "conv2": (3, width, width)}
            sizes["conv3"] = (1, width, 4 * width)
            if unit == 1:
                sizes["shortcut"] = (1, before, 4 * width)
            for layer, size in sizes.items():
                values.kernel(f"{at}/{layer}/weights", *size)
                gain = 0.3 if layer == "conv3" else 1
                values.norm(f"{at}/{layer}/BatchNorm", size[2], gain)
            before = 4 * width
    values.kernel(f"{ATTENTION}/conv1/weights", 1, before, 512)
    values.norm(f"{ATTENTION}/conv1/BatchNorm", 512)
    values.kernel(f"{ATTENTION}/conv2/weights", 1, 512, 1)
    values.vector(f"{ATTENTION}/conv2/biases", 1, 0.4, 0.6)
    if logits:
        values.kernel("attention_block/logits/weights", 1, before, 5)
        values.vector("attention_block/logits/biases", 5, -1, 1)
        values.vector(f"{ATTENTION}/conv2/biases/Momentum", 1, -1, 1)
        values.named["global_step"] = np.array(7, np.int64)
    return values.named


def slim_conv(x, at, v, stride=1, relu=True):
    """conv2d_same: SAME for stride 1, else a fixed number of zeros on both sides."""
    kernel = v[f"{at}/weights"]
    side = int(kernel.shape[0])
    fixed = [[0, 0], [side // 2] * 2, [side // 2] * 2, [0, 0]]
    x = tf.nn.conv2d(x, kernel, stride, "SAME" if stride == 1 else fixed)
    x = batch_norm(x, f"{at}/BatchNorm", v, 1e-5)
    return tf.nn.relu(x) if relu else x


def slim_unit(x, at, v, stride):
    if f"{at}/shortcut/weights" in v:
        shortcut = slim_conv(x, f"{at}/shortcut", v, stride, relu=False)
    else:
        shortcut = tf.nn.max_pool2d(x, 1, stride, "VALID")
    y = slim_conv(x, f"{at}/conv1", v)
    y = slim_conv(y, f"{at}/conv2", v, stride)
    y = slim_conv(y, f"{at}/conv3", v, relu=False)
    return tf.nn.relu(shortcut + y)


def slim_delf(image, v):
    """(H, W, 3) bytes to block3 (h, w, 1024) and attention (h, w)."""
    x = slim_conv(normalised(image), "resnet_v1_50/conv1", v, 2)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    for block, units in enumerate(SLIM_UNITS, start=1):
        for unit in range(1, units + 1):
            at = f"resnet_v1_50/block{block}/unit_{unit}/bottleneck_v1"
            x = slim_unit(x, at, v, 2 if unit == units else 1)
    y = slim_conv(x, f"{ATTENTION}/conv1", v)
    kernel, bias = (v[f"{ATTENTION}/conv2/{part}"] for part in ("weights", "biases"))
    score = tf.nn.conv2d(y, kernel, 1, "SAME") + bias
    return x[0], tf.nn.softplus(score)[0, :, :, 0]


# --- TF2, Keras -----------------------------------------------------------------------


def tf2_values(seed=0, autoencoder=0, embedding=0, classes=0):
    """Variables of the TF2 DELF and DELG by their paths from the model."""
    values = Values(seed)

    def conv(at, side, before, after):
        values.kernel(f"{at}/kernel", side, before, after)
        values.vector(f"{at}/bias", after, -0.1, 0.1)

    def dense(at, before, after):
        conv(at, 1, before, after)
        values.named[f"{at}/kernel"] = values.named[f"{at}/kernel"][0, 0]

    conv("backbone/conv1", 7, 3, 64)
    values.norm("backbone/bn_conv1", 64)
    before = 64
    for stage, (width, units) in enumerate(
        zip(WIDTHS, KERAS_UNITS, strict=True), start=2
    ):
        for letter in "abcdef"[:units]:
            at = f"backbone/l{stage}{letter}"
            sizes = {"2a": (1, before, width), "2b": (3, width, width)}
            sizes["2c"] = (1, width, 4 * width)
            if letter == "a":
                sizes["_shortcut"] = (1, before, 4 * width)
            for layer, size in sizes.items():
                conv(f"{at}/conv{layer}", *size)
                values.norm(f"{at}/bn{layer}", size[2], 0.3 if layer == "2c" else 1)
            before = 4 * width
    conv("attention/conv1", 1, 1024, 512)
    values.norm("attention/bn_conv1", 512)
    conv("attention/conv2", 1, 512, 1)
    if autoencoder:
        conv("autoencoder/conv1", 1, 1024, autoencoder)
        conv("autoencoder/conv2", 1, autoencoder, 1024)
    if embedding:
        dense("backbone/embedding_layer", 2048, embedding)
        values.kernel("cosine_weights", 1, embedding, 5)
        values.named["cosine_weights"] = values.named["cosine_weights"][0, 0]
        values.named["scale_factor"] = np.array(45.25, np.float32)
    if classes:
        dense("desc_classification", 2048, classes)
        dense("attn_classification", 1024, classes)
    return values.named


def keras_conv(x, at, v, stride=1, padding="VALID"):
    return tf.nn.conv2d(x, v[f"{at}/kernel"], stride, padding) + v[f"{at}/bias"]


def keras_unit(x, at, v, stride):
    y = batch_norm(keras_conv(x, f"{at}/conv2a", v, stride), f"{at}/bn2a", v, 1e-3)
    y = keras_conv(tf.nn.relu(y), f"{at}/conv2b", v, 1, "SAME")
    y = batch_norm(y, f"{at}/bn2b", v, 1e-3)
    y = keras_conv(tf.nn.relu(y), f"{at}/conv2c", v)
    y = batch_norm(y, f"{at}/bn2c", v, 1e-3)
    if f"{at}/conv_shortcut/kernel" in v:
        x = keras_conv(x, f"{at}/conv_shortcut", v, stride)
        x = batch_norm(x, f"{at}/bn_shortcut", v, 1e-3)
    return tf.nn.relu(x + y)


def keras_blocks(image, v, strides=True):
    """(H, W, 3) bytes to block3 and block4, (1, h, w, C)."""
    x = keras_conv(normalised(image), "backbone/conv1", v, 2, "SAME")
    x = tf.nn.relu(batch_norm(x, "backbone/bn_conv1", v, 1e-3))
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    for stage, units in enumerate(KERAS_UNITS, start=2):
        for letter in "abcdef"[:units]:
            first = 2 if stage in (3, 4) or (stage == 5 and not strides) else 1
            at = f"backbone/l{stage}{letter}"
            x = keras_unit(x, at, v, first if letter == "a" else 1)
        if stage == 4:
            block3 = x = tf.nn.max_pool2d(x, 1, 2, "VALID") if strides else x
    return block3, x


def tf2_delf(image, v, strides=True):
    """(H, W, 3) bytes to features (h, w, C), attention (h, w), global descriptor."""
    block3, block4 = keras_blocks(image, v, strides)
    features = expanded = block3
    if "autoencoder/conv1/kernel" in v:
        features = keras_conv(block3, "autoencoder/conv1", v)
        expanded = tf.nn.relu(keras_conv(features, "autoencoder/conv2", v))
    y = keras_conv(expanded, "attention/conv1", v)
    y = tf.nn.relu(batch_norm(y, "attention/bn_conv1", v, 1e-3))
    attention = tf.nn.softplus(keras_conv(y, "attention/conv2", v))
    pooled = tf.reduce_mean(tf.maximum(block4, 1e-6) ** 3.0, [1, 2]) ** (1 / 3)
    if "backbone/embedding_layer/kernel" in v:
        at = "backbone/embedding_layer"
        pooled = pooled @ v[f"{at}/kernel"] + v[f"{at}/bias"]
    return features[0], attention[0, :, :, 0], tf.nn.l2_normalize(pooled, -1)[0]


def module_of(values):
    """A tree of modules whose attributes are the paths."""
    root = tf.Module()
    for path, array in values.items():
        *above, leaf = path.split("/")
        node = root
        for name in above:
            if not hasattr(node, name):
                setattr(node, name, tf.Module())
            node = getattr(node, name)
        setattr(node, leaf, tf.Variable(array, name=f"some/{leaf}"))
    return root
