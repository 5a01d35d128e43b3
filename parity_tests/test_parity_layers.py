# SPDX-License-Identifier: Apache-2.0
"""Lowest rung: each layer in PyTorch and in MindSpore, odd and even sizes."""

import numpy as np
import pytest
from tolerances import assert_near

torch = pytest.importorskip("torch")
ms = pytest.importorskip("mindspore")

import delf_ms.layers as ms_layers  # noqa: E402
import delf_torch.layers as torch_layers  # noqa: E402
from delf_ms.attention import FeatureNorm as MsFeatureNorm  # noqa: E402
from delf_ms.device import choose_device  # noqa: E402
from delf_ms.parameters import get_params, put_params  # noqa: E402
from delf_torch.attention import FeatureNorm  # noqa: E402
from delf_torch.parameters import get_params as get_torch_params  # noqa: E402
from delf_torch.parameters import put_params as put_torch_params  # noqa: E402

SIZES = [(7, 8), (8, 7), (9, 10), (10, 11), (16, 16), (15, 15), (3, 4)]


@pytest.fixture(scope="module", autouse=True)
def cpu():
    choose_device("cpu")


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def both(torch_layer, ms_layer, x):
    """Outputs of the two layers as NumPy arrays, for one input."""
    with torch.inference_mode():
        wanted = torch_layer(torch.from_numpy(x)).contiguous().numpy()
    return ms_layer(ms.Tensor(x)).asnumpy(), wanted


@pytest.mark.parametrize("padding", ["same", "valid", 1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_convolutions_pad_alike(kernel, stride, padding):
    for groups, bias in ((1, True), (4, False)):
        args = (4, 8, kernel, stride, padding, groups, bias)
        torch_layer = torch_layers.Convolution(*args).eval()
        ms_layer = ms_layers.Convolution(*args)
        shapes = get_torch_params(torch_layer)
        params = {name: random(*shapes[name].shape) for name in shapes}
        put_torch_params(torch_layer, params)
        put_params(ms_layer, params)
        for size in SIZES:
            if padding == "same" or min(size) >= kernel:
                x = random(2, 4, *size)
                assert_near("convolution", *both(torch_layer, ms_layer, x))


@pytest.mark.parametrize("padding", ["same", "valid", 1])
def test_max_pools_pad_alike_and_padding_never_wins(padding):
    for size in SIZES:
        x = random(2, 3, *size) - 5  # below 0, where padding by 0 would win
        layers = torch_layers.MaxPool(padding), ms_layers.MaxPool(padding)
        assert_near("max pool", *both(*layers, x))


@pytest.mark.parametrize("size", SIZES)
def test_subsampling_takes_the_same_cells(size):
    layers = torch_layers.Subsample(), ms_layers.Subsample()
    assert_near("subsample", *both(*layers, random(2, 3, *size)))


@pytest.mark.parametrize("mode", ["evaluated", "trained", "frozen"])
@pytest.mark.parametrize("eps", [1e-3, 1e-5])
def test_batch_norms_normalise_and_keep_statistics_alike(mode, eps):
    torch_layer, ms_layer = torch_layers.BatchNorm(5, eps), ms_layers.BatchNorm(5, eps)
    params = {
        "weight": random(5, seed=1),
        "bias": random(5, seed=2),
        "running_mean": random(5, seed=3),
        "running_var": random(5, seed=4) ** 2 + np.float32(0.1),
    }
    put_torch_params(torch_layer, params)
    put_params(ms_layer, params)
    if mode == "frozen":
        torch_layers.freeze_batch_norm(torch_layer)
        ms_layers.freeze_batch_norm(ms_layer)
    torch_layer.train(mode != "evaluated")
    ms_layer.set_train(mode != "evaluated")
    x = random(2, 5, 3, 4, seed=5) * 3 + 1
    assert_near("batch norm", *both(torch_layer, ms_layer, x))
    after, wanted = get_params(ms_layer), get_torch_params(torch_layer)
    assert set(after) == set(wanted) == set(params)
    moved = not np.array_equal(after["running_var"], params["running_var"])
    assert moved == (mode == "trained")
    for name in params:
        assert_near("running statistics", after[name], wanted[name])


def test_a_released_batch_norm_takes_statistics_again():
    layer = ms_layers.BatchNorm(2, 1e-3)
    ms_layers.freeze_batch_norm(layer)
    ms_layers.freeze_batch_norm(layer, frozen=False)
    layer.set_train()
    layer(ms.Tensor(random(2, 2, 3, 3) + 1))
    assert (get_params(layer)["running_mean"] != 0).all()


@pytest.mark.parametrize("size", [(11, 13), (5, 6), (23, 27), (4, 26), (1, 1)])
def test_images_are_normalised_and_resized_alike(size):
    images = np.random.default_rng(0).integers(0, 256, (2, 11, 13, 3), np.uint8)
    wanted = torch_layers.normalise(torch.from_numpy(images))
    actual = ms_layers.normalise(ms.Tensor(images))
    assert_near("normalise", actual.asnumpy(), wanted.contiguous().numpy())
    wanted = torch_layers.resize(wanted, size).contiguous().numpy()
    assert_near("resize", ms_layers.resize(actual, size).asnumpy(), wanted)


def test_softplus_keeps_its_digits_far_below_0():
    x = np.float32([-80, -50, -20, -10, -1, 0, 1, 10, 20, 50, 100, 500])
    wanted = np.logaddexp(x.astype(np.float64), 0)
    actual = ms_layers.softplus(ms.Tensor(x)).asnumpy()
    for one, other in zip(actual, wanted.astype(np.float32), strict=True):
        assert_near("softplus", one, other)


def test_feature_rows_have_the_same_length():
    x = random(2, 112, 3, 4) * 10
    assert_near("attention", *both(FeatureNorm(), MsFeatureNorm(), x))
