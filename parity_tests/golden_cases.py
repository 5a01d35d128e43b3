# SPDX-License-Identifier: Apache-2.0
"""What the golden files hold: made by any backend, from seeded weights.

``tools/record_golden.py`` writes the files with PyTorch; the tests let each installed
backend, alone in its process or not, come to the same numbers.
"""

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from small_networks import EVERY, LITE0, calm_params, narrow_widths, random_params
from training_set import CLASSES, small_run

from delf_common.config import ExtractConfig
from delf_common.extraction.extractor import Extractor
from delf_common.features import Features
from delf_common.matching.matcher import match
from delf_common.retrieval.metrics import average_precision
from delf_common.training.start import starting_checkpoint
from delf_common.weights.checkpoint import Checkpoint
from delf_common.weights.comparing import all_rows, check_pictures

FOLDER = Path(__file__).parent / "golden"
MAPS, PHOTOGRAPH, PLACES, TRAINING = "maps", "photograph", "places", "training"
SEED = 3
SIZES = {"lite0": [(65, 90), (46, 63)]}  # 112 channels fill a file quickly
WITH_BLOCK4 = ("lite0", "keras", "slim")  # the others' differs in its input only
OTHER_SIZES = [(131, 180), (93, 127)]
SCALES = (0.70710677, 1.0)
KEYPOINTS = ("keypoints", "scores", "scales", "descriptors")
NAMES = ("coffee", "astronaut", "chelsea")
STAGES = {"tuning": 1, "attn": 3}  # steps; rounding grows with those of tuning
SHIFTS = ((0, 0), (13, 27), (31, 9))


def make_network(backend, info, params):
    """A network of a backend module, on the CPU, without a file in between."""
    checkpoint = Checkpoint(params, info)
    if backend == "torch":
        import torch  # noqa: TID251

        from delf_torch.network import TorchNetwork

        return TorchNetwork(checkpoint, torch.device("cpu"))
    from delf_ms.device import choose_device
    from delf_ms.network import MsNetwork

    return MsNetwork(checkpoint, choose_device("cpu"))


def params_of(name):
    """Seeded weights of a small network; call it with narrow widths."""
    return calm_params(EVERY[name], SEED)


def maps_of(backend, name):
    """Arrays of one small network: attention, features, block4."""
    with narrow_widths():
        network = make_network(backend, EVERY[name], params_of(name))
        return run_maps(network, name)


def run_maps(network, name):
    picture = check_pictures()[:1]
    sizes = SIZES.get(name, OTHER_SIZES)
    found = {}
    for (height, width), maps in zip(sizes, network.dense(picture, sizes), strict=True):
        at = f"{name}.{height}x{width}"
        found[f"{at}.attention"] = maps.attention
        found[f"{at}.features"] = all_rows(maps)
    if name in WITH_BLOCK4:
        found[f"{name}.block4"] = network.global_maps(picture, sizes[1])
    return found


def photograph():
    """(200, 300, 3) uint8: coffee, by Rachel Michetti, in the public domain."""
    from skimage import data

    return np.ascontiguousarray(data.coffee()[::2, ::2])


def lite0_network(backend, seed=SEED):
    """EfficientNet-Lite0 with seeded weights, whose layout is the embedded one's."""
    return make_network(backend, LITE0, random_params(LITE0, seed))


def attention_of(network):
    """Attention of the photograph at every level, before anything is chosen."""
    picture = photograph()
    sizes = [tuple(round(n * s) for n in picture.shape[:2]) for s in SCALES]
    maps = network.dense(picture[None], sizes)
    return {f"attention.{i}": level.attention[0] for i, level in enumerate(maps)}


def features_of(network, threshold, count):
    """Features of the photograph: by a threshold, and by a number of keypoints."""
    limits = {"threshold": (threshold, 10_000), "count": ("none", count)}
    found = {}
    for name, (lowest, most) in limits.items():
        config = ExtractConfig(
            image_scales=SCALES, score_threshold=lowest, max_feature_num=most
        )
        features = Extractor(network, config).extract_batch([photograph()])[0]
        found |= {f"{name}.{part}": getattr(features, part) for part in KEYPOINTS}
    return found


def golden_features(arrays, name):
    """Features that `features_of` made into arrays."""
    height, width = photograph().shape[:2]
    parts = [arrays[f"{name}.{part}"] for part in KEYPOINTS]
    keypoints, scores, scales, descriptors = parts
    return Features(keypoints, descriptors, scores, scales, (width, height))


def views():
    """Name -> (150, 200, 3) uint8: three views of each of three places.

    Crops, so that they are the same bytes with every version of every library.
    """
    from skimage import data

    found = {}
    for place in NAMES:
        picture = getattr(data, place)()
        step = 2 if min(picture.shape[:2]) >= 400 else 1
        picture = picture[::step, ::step]
        for i, (top, left) in enumerate(SHIFTS):
            crop = picture[top : top + 150, left : left + 200]
            found[f"{place}_{i}"] = np.ascontiguousarray(crop)
    return found


def features_of_views(network):
    """Name -> features of each view."""
    config = ExtractConfig(image_scales=SCALES, max_feature_num=150)
    extractor = Extractor(network, config)
    return {n: extractor.extract_batch([v])[0] for n, v in views().items()}


def search_places(features):
    """Inliers of every pair of views, and the mAP of ranking by them.

    Returns:
        {"inliers": {"a b": n}, "mAP": x}, ready for JSON.
    """
    inliers = {
        f"{a} {b}": match(features[a], features[b]).verification.num_inliers
        for a, b in itertools.permutations(features, 2)
    }
    scores = [
        average_precision(ranks_of(query, inliers), len(SHIFTS) - 1)
        for query in features
    ]
    return {"inliers": inliers, "mAP": float(np.mean(scores))}


def shaken(features, noise, seed):
    """The same features with noise in their descriptors, as another runtime has."""
    rng = np.random.default_rng(seed)
    return {
        name: dataclasses.replace(
            one,
            descriptors=one.descriptors
            + rng.uniform(-noise, noise, one.descriptors.shape).astype(np.float32),
        )
        for name, one in features.items()
    }


def is_steady(features, found, noise, shakes):
    """Whether no decision is so close that noise changes what was found."""
    return all(
        search_places(shaken(features, noise, seed)) == found for seed in range(shakes)
    )


def ranks_of(query, inliers):
    """Zero-based ranks of the query's place, by falling inliers, then name."""
    pairs = [pair.split() for pair in inliers]
    others = {b: inliers[f"{a} {b}"] for a, b in pairs if a == query}
    names = sorted(others, key=lambda name: (-others[name], name))
    place = query.split("_")[0]
    return [i for i, name in enumerate(names) if name.startswith(place)]


def start_of(stage):
    """Settings and seeded start of a stage; call it with narrow widths."""
    settings = {"train_state": stage, "imagenet_checkpoint": "", "train_from": "conv1"}
    config = small_run("x", "x", **settings, image_size=49)
    return config, starting_checkpoint(config, CLASSES)


def training_batches(steps):
    """Photographs and labels of each step."""
    rng = np.random.default_rng(SEED)
    crops = np.stack([view[:49, 50:99] for view in views().values()])
    for _ in range(steps):
        yield crops[rng.permutation(len(crops))[:4]], rng.integers(0, CLASSES, 4)


def train_steps(backend, stage):
    """Loss and norm of the gradient of each step: (2, steps) float32."""
    with narrow_widths():
        config, start = start_of(stage)
        trainer = make_trainer(backend, config, start)
        for images, labels in training_batches(STAGES[stage]):
            trainer.step(images, labels, 0.003)
        seen = trainer.take_metrics()
    losses = [sum(v for k, v in one.items() if k.endswith("loss")) for one in seen]
    norms = [one["gradient_norm"] for one in seen]
    return np.float32([losses, norms])


def make_trainer(backend, config, start):
    """A backend's trainer, alone on the CPU."""
    if backend == "torch":
        import torch  # noqa: TID251

        from delf_torch.distributed import World
        from delf_torch.training import TorchTrainer

        world = World(0, 1, torch.device("cpu"))
        return TorchTrainer(start, None, config, world)
    from delf_ms.device import choose_device
    from delf_ms.distributed import World
    from delf_ms.training import MsTrainer

    return MsTrainer(start, None, config, World(0, 1, choose_device("cpu")))


def digest(arrays):
    """Sha256 over names, types, shapes and bytes, hexadecimal."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def inputs_of(file, seed=SEED):
    """Digests of what a golden file was made from: weights and pictures."""
    if file == MAPS:
        with narrow_widths():
            params = {name: digest(params_of(name)) for name in EVERY}
        return {"pictures": digest({"": check_pictures()[:1]}), "weights": params}
    if file == TRAINING:
        with narrow_widths():
            starts = {stage: start_of(stage)[1].params for stage in STAGES}
        weights = {stage: digest(params) for stage, params in starts.items()}
        batches = {str(i): images for i, (images, _) in enumerate(training_batches(3))}
        return {"pictures": digest(batches), "weights": weights}
    pictures = {"": photograph()} if file == PHOTOGRAPH else views()
    weights = digest(random_params(LITE0, seed))
    return {"pictures": digest(pictures), "weights": weights}


def read_golden(file):
    """Arrays and provenance of a golden file."""
    with safe_open(FOLDER / f"{file}.safetensors", framework="numpy") as content:
        arrays = {name: content.get_tensor(name) for name in content.keys()}
        return arrays, json.loads(content.metadata()["provenance"])
