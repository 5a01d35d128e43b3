# SPDX-License-Identifier: Apache-2.0
"""Upper rungs: stages, whole networks, a photograph, a checkpoint's way round."""

import numpy as np
import pytest
from small_networks import EVERY, KERAS, calm_params
from tolerances import TOLERANCES, assert_near

torch = pytest.importorskip("torch")
ms = pytest.importorskip("mindspore")

import delf_ms  # noqa: E402
import delf_torch  # noqa: E402
from delf_common.config import ExtractConfig  # noqa: E402
from delf_common.extraction.extractor import extract  # noqa: E402
from delf_common.weights.checkpoint import (  # noqa: E402
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from delf_ms.delf import build_delf as build_ms  # noqa: E402
from delf_ms.device import choose_device  # noqa: E402
from delf_ms.network import MsNetwork  # noqa: E402
from delf_ms.parameters import get_params as get_ms  # noqa: E402
from delf_ms.parameters import put_params as put_ms  # noqa: E402
from delf_torch.delf import build_delf as build_torch  # noqa: E402
from delf_torch.network import TorchNetwork  # noqa: E402
from delf_torch.parameters import get_params as get_torch  # noqa: E402
from delf_torch.parameters import put_params as put_torch  # noqa: E402

SIZES = [(65, 80), (96, 49)]
BLOCKS = ("block1", "block2", "block3")


@pytest.fixture(scope="module", autouse=True)
def cpu():
    choose_device("cpu")


@pytest.fixture(params=EVERY.values(), ids=EVERY)
def pair(request, narrow):
    """The same small network in both frameworks, with batch norms."""
    params = calm_params(request.param, seed=2)
    networks = build_torch(request.param).eval(), build_ms(request.param)
    networks[1].set_train(False)
    put_torch(networks[0], params)
    put_ms(networks[1], params)
    return request.param, params, *networks


def image(height, width):
    shape = (1, 3, height, width)
    return np.random.default_rng(height).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_every_network_sees_the_same(pair, size):
    info, _, torch_delf, ms_delf = pair
    x = image(*size)
    with torch.inference_mode():
        wanted = torch_delf(torch.from_numpy(x))
    actual = ms_delf(ms.Tensor(x))
    for rung, one, other in zip(("features", "attention"), actual, wanted, strict=True):
        assert_near(rung, one.asnumpy(), other.numpy())
    if info.block4:
        with torch.inference_mode():
            wanted = torch_delf.deepest(torch.from_numpy(x)).numpy()
        assert_near("block4", ms_delf.deepest(ms.Tensor(x)).asnumpy(), wanted)


def test_every_stage_gives_the_same_for_the_same_input(pair):
    _, _, torch_delf, ms_delf = pair
    blocks = [getattr(torch_delf.backbone, name) for name in BLOCKS]
    seen = []
    for block in blocks:
        block.register_forward_hook(lambda _, x, y: seen.append((x[0], y)))
    with torch.inference_mode():
        torch_delf(torch.from_numpy(image(65, 80)))
    for name, (x, y) in zip(BLOCKS, seen, strict=True):
        actual = getattr(ms_delf.backbone, name)(ms.Tensor(x.numpy()))
        assert_near("stage", actual.asnumpy(), y.numpy())


def test_a_checkpoint_comes_back_from_ms_with_every_bit(pair, tmp_path):
    info, params, torch_delf, ms_delf = pair
    save_checkpoint(tmp_path / "a.safetensors", get_torch(torch_delf), info)
    put_ms(ms_delf, load_checkpoint(tmp_path / "a.safetensors").params)
    save_checkpoint(tmp_path / "b.safetensors", get_ms(ms_delf), info)
    again = build_torch(info)
    put_torch(again, load_checkpoint(tmp_path / "b.safetensors").params)
    back = get_torch(again)
    assert set(back) == set(params)
    for name, array in params.items():
        assert_near("checkpoint", back[name], array)
        assert back[name].tobytes() == array.tobytes()


@pytest.fixture(scope="module")
def lite0():
    return delf_torch.load_network("delf-lite0"), delf_ms.load_network("delf-lite0")


def assert_same_maps(actual, wanted):
    assert_near("dense attention", actual.attention, wanted.attention)
    cells = np.arange(wanted.attention[0].size)
    for i in range(len(wanted.attention)):
        rows = actual.gather(i, cells), wanted.gather(i, cells)
        assert_near("dense features", *rows)


def test_the_embedded_network_gives_the_same_maps(lite0):
    images = np.random.default_rng(0).integers(0, 256, (2, 97, 130, 3), np.uint8)
    sizes = [(97, 130), (69, 92), (137, 184)]
    wanted, actual = (network.dense(images, sizes) for network in lite0)
    for one, other in zip(actual, wanted, strict=True):
        assert_same_maps(one, other)
    wanted, actual = (network.global_maps(images, (96, 131)) for network in lite0)
    assert_near("block4", actual, wanted)


def test_a_resnet_of_its_checkpoint_gives_the_same_maps(narrow):
    checkpoint = Checkpoint(calm_params(KERAS), KERAS)
    networks = (
        TorchNetwork(checkpoint, torch.device("cpu")),
        MsNetwork(checkpoint, "cpu"),
    )
    images = np.random.default_rng(0).integers(0, 256, (1, 80, 99, 3), np.uint8)
    wanted, actual = (network.dense(images, [(80, 99)])[0] for network in networks)
    assert_same_maps(actual, wanted)


def test_a_photograph_gives_the_same_features(lite0):
    from skimage import data

    photo = np.ascontiguousarray(data.coffee()[::2, ::2])
    config = ExtractConfig(image_scales=(0.5, 0.7071, 1.0), max_feature_num=150)
    wanted, actual = (extract([photo], network, config)[0] for network in lite0)
    assert len(wanted) == 150
    assert_same_features(actual, wanted)


def assert_same_features(actual, wanted):
    """Compare keypoints by groups of equal score; only the last may be cut elsewhere.

    Scores that are within the tolerance of their neighbours are one group: inside it
    the order is free, and nowhere else.
    """
    rung = "scores of a photograph"
    assert_near(rung, actual.scores, wanted.scores)
    gap = 2 * TOLERANCES[rung][0] * wanted.scores.max()
    starts = np.flatnonzero(np.diff(wanted.scores) < -gap) + 1
    groups = np.split(np.arange(len(wanted)), starts)
    assert len(groups) > len(wanted) / 2  # otherwise hardly anything is compared
    for group in groups[:-1]:
        one, other = members(actual, group), members(wanted, group)
        assert set(one) == set(other)
        for place, row in other.items():
            found = actual.descriptors[one[place]]
            rung = "descriptors of a photograph"
            assert_near(rung, found, wanted.descriptors[row])


def members(features, rows):
    """(x, y, scale) of some keypoints -> their row."""
    places = np.column_stack([features.keypoints, features.scales])
    return {tuple(places[row]): row for row in rows}
