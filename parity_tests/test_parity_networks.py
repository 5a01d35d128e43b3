# SPDX-License-Identifier: Apache-2.0
"""Upper rungs: stages, whole networks, a photograph, a checkpoint's way round."""

import numpy as np
import pytest
from golden_cases import features_of_views, is_steady, search_places
from small_networks import EVERY, KERAS, STRIDED, calm_params
from tolerances import TOLERANCES, assert_near, assert_same_features

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


def test_canvases_give_the_same_and_each_is_compiled_once(narrow, monkeypatch):
    from mindspore.graph._parse.parser import Parser  # noqa: TID251

    parsed = []
    real = Parser.parse
    monkeypatch.setattr(Parser, "parse", lambda self: parsed.append(1) or real(self))
    checkpoint = Checkpoint(calm_params(STRIDED), STRIDED)
    canvases = [(96, 128), (160, 160)]
    images = np.random.default_rng(0).integers(0, 256, (1, 80, 99, 3), np.uint8)
    sizes = [(80, 99), (120, 149), (57, 70), (113, 140)]
    torch_network = TorchNetwork(checkpoint, torch.device("cpu"))
    wanted = torch_network.on_canvases(canvases).dense(images, sizes)
    network = MsNetwork(checkpoint, "cpu").on_canvases(canvases)
    actual = network.dense(images, sizes[:2])
    once = len(parsed)
    actual += network.dense(images, sizes[2:])
    assert len(parsed) == once > 0
    for one, other in zip(actual, wanted, strict=True):
        assert_same_maps(one, other)


def test_a_photograph_gives_the_same_features(lite0):
    from skimage import data

    photo = np.ascontiguousarray(data.coffee()[::2, ::2])
    config = ExtractConfig(image_scales=(0.5, 0.7071, 1.0), max_feature_num=150)
    wanted, actual = (extract([photo], network, config)[0] for network in lite0)
    assert len(wanted) == 150
    assert_same_features(actual, wanted, limit=150)


def test_a_pair_and_a_small_set_of_photographs_give_the_same(lite0):
    one, other = (features_of_views(network) for network in reversed(lite0))
    for name, wanted in other.items():
        assert_same_features(one[name], wanted, limit=150)
    actual, wanted = search_places(one), search_places(other)
    pairs = list(wanted["inliers"])
    inliers = [np.float32([f["inliers"][p] for p in pairs]) for f in (actual, wanted)]
    noise = TOLERANCES["descriptors of a photograph"][0]
    if is_steady(other, wanted, noise, shakes=3):  # else decisions hang on rounding
        assert_near("inliers of a pair", *inliers)
        assert_near(
            "mAP of a small set", np.float32(actual["mAP"]), np.float32(wanted["mAP"])
        )
    else:
        assert np.abs(inliers[0] - inliers[1]).max() <= 5
    same = [p for p in pairs if p.split("_")[0] == p.split()[1].split("_")[0]]
    assert min(wanted["inliers"][p] for p in same) > 25
