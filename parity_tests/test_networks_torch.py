# SPDX-License-Identifier: Apache-2.0
"""The PyTorch networks against NumPy written from the specification."""

import dataclasses

import cv2
import numpy as np
import pytest
from small_networks import (
    DELG,
    KERAS,
    OFFICIAL_SLIM,
    SLIM,
    STRIDED,
    TORCHVISION,
    calm_params,
    random_params,
)
from small_networks import EVERY as EVERY_NETWORK

from delf_common.errors import DelfError, UsageError
from delf_common.weights.architectures import (
    block_channels,
    check_architecture,
    feature_channels,
    receptive_field,
    resnet_variant,
)
from delf_common.weights.checkpoint import Checkpoint, load_checkpoint
from delf_common.weights.folding import fold_batch_norm
from delf_common.weights.names import parameter_shapes

torch = pytest.importorskip("torch")
F = torch.nn.functional

from delf_torch.delf import build_delf  # noqa: E402
from delf_torch.device import choose_device  # noqa: E402
from delf_torch.layers import Convolution, MaxPool, freeze_batch_norm, pad_same  # noqa: E402
from delf_torch.network import TorchNetwork  # noqa: E402
from delf_torch.parameters import canonical_tensors, get_params, put_params  # noqa: E402

RELATIVE = 1e-5  # largest difference over largest value, float32 (design.md section 8)
EVERY = pytest.mark.parametrize("info", EVERY_NETWORK.values(), ids=EVERY_NETWORK)


@pytest.fixture(scope="module")
def lite0():
    """The embedded backbone, with the length of a feature row for a score."""
    embedded = load_checkpoint("delf-lite0")
    info = dataclasses.replace(embedded.info, attention="feature_norm")
    kept = {n: a for n, a in embedded.params.items() if not n.startswith("attention.")}
    return TorchNetwork(Checkpoint(kept, info), torch.device("cpu"))


def assert_near(actual, wanted, relative=RELATIVE):
    assert np.shape(actual) == np.shape(wanted)
    assert np.isfinite(actual).all()
    difference = np.abs(np.asarray(actual, np.float64) - wanted).max()
    assert difference <= relative * np.abs(wanted).max()


# --- the specification in plain NumPy -------------------------------------------------


def slow_convolution(x, kernel, bias, stride, before, after):
    """(C, H, W) with the given cells of padding before and after both axes."""
    x = np.pad(
        x,
        ((0, 0), before, after)
        if isinstance(before, tuple)
        else ((0, 0), (before, after), (before, after)),
    )
    side = kernel.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))
    windows = windows[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, kernel) + bias[:, None, None]


def slow_resnet(x, params, info):
    """block3 of one image (3, H, W), as delf_spec.md A.1 tells it, in float64."""
    variant = resnet_variant(info)
    p = {name: array.astype(np.float64) for name, array in params.items()}

    def conv(x, conv_name, norm_name, stride, pad):
        kernel = p[f"{conv_name}.weight"]
        bias = p.get(f"{conv_name}.bias", np.zeros(len(kernel)))
        y = slow_convolution(x, kernel, bias, stride, *pad)
        gain = p[f"{norm_name}.weight"] / np.sqrt(
            p[f"{norm_name}.running_var"] + variant.eps
        )
        y = (y - p[f"{norm_name}.running_mean"][:, None, None]) * gain[:, None, None]
        return y + p[f"{norm_name}.bias"][:, None, None]

    if info.variant == "keras":  # spec A.3: odd 3 and 3, even 2 before and 3 after
        rows, columns = ((3, 3) if side % 2 else (2, 3) for side in x.shape[1:])
        x = np.maximum(conv(x, "conv1", "bn1", 2, (rows, columns)), 0)
    else:
        x = np.maximum(conv(x, "conv1", "bn1", 2, (3, 3)), 0)
        # Slim's pool is SAME: an even side gets its one cell of padding at the end.
        slim = info.variant == "slim"
        pads = [(side % 2 if slim else 1, 1) for side in x.shape[1:]]
        x = np.pad(x, ((0, 0), *pads))
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    x = x[:, ::2, ::2].max(axis=(-1, -2))
    for block, units in (("block1", 3), ("block2", 4), ("block3", 6)):
        for unit in range(units):
            at = f"{block}.{unit}"
            stride = 2 if unit == 0 and block != "block1" else 1
            if info.variant == "slim":
                stride = 2 if unit == units - 1 else 1
            one, three = (stride, 1) if info.variant == "keras" else (1, stride)
            y = np.maximum(conv(x, f"{at}.conv1", f"{at}.bn1", one, (0, 0)), 0)
            y = np.maximum(conv(y, f"{at}.conv2", f"{at}.bn2", three, (1, 1)), 0)
            y = conv(y, f"{at}.conv3", f"{at}.bn3", 1, (0, 0))
            if unit == 0:
                names = f"{at}.shortcut.conv", f"{at}.shortcut.bn"
                x = conv(x, *names, stride, (0, 0))
            elif stride == 2:
                x = x[:, ::2, ::2]
            x = np.maximum(x + y, 0)
    return x[:, ::2, ::2] if info.block3_strides and info.variant != "slim" else x


@pytest.mark.parametrize("size", [(48, 61), (61, 48), (33, 35), (64, 64)])
@pytest.mark.parametrize("info", [KERAS, STRIDED, TORCHVISION, SLIM])
def test_resnet_is_what_the_specification_says(narrow, info, size):
    params = random_params(info)
    network = build_delf(info).eval()
    put_params(network, params)
    x = np.random.default_rng(1).normal(0, 1, (3, *size)).astype(np.float32)
    with torch.inference_mode():
        features = network.backbone(torch.from_numpy(x)[None])[0].numpy()
    assert_near(features, slow_resnet(x, params, info))


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 8, 9, 10, 11])
def test_same_padding_follows_tensorflows_rule(kernel, stride, side):
    torch.manual_seed(0)
    layer = Convolution(2, 3, kernel, stride)
    x = torch.randn(1, 2, side, side)
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    weights = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    padding = total // 2, total - total // 2
    wanted = slow_convolution(x[0].numpy(), *weights, stride, *padding)
    assert wanted.shape[-1] == -(-side // stride)
    assert_near(layer(x).detach()[0].numpy(), wanted)


def test_lite0_gives_the_reference_packages_maps(lite0):
    # Recorded with efficientnet-lite-pytorch 0.1.0 (dynamic padding) and the embedded
    # parameters: `_blocks[10]` and `_blocks[15]`, odd height, even width.
    rows, columns, channels = np.ogrid[:97, :130, :3]
    pattern = rows * 7 + columns * 3 + rows * columns // 16 + channels * 40
    image = (pattern % 256).astype(np.uint8)[None]
    maps = lite0.dense(image, [(97, 130)])[0]
    assert maps.attention.shape == (1, 7, 9)
    cells = np.array([0 * 9 + 0, 3 * 9 + 4, 6 * 9 + 8])
    block3 = [
        [-6.693633, -2.715123, 10.600113, -14.321346],
        [11.678376, -1.568701, 2.886120, 8.869803],
        [-3.851294, -1.098084, -6.954421, -18.252207],
    ]
    np.testing.assert_allclose(
        maps.gather(0, cells)[:, :4], block3, atol=34.4 * RELATIVE
    )
    assert np.sqrt((maps.attention.astype(np.float64) ** 2).sum()) == pytest.approx(
        585.94753, rel=RELATIVE
    )
    deepest = lite0.global_maps(image, (97, 130))
    assert deepest.shape == (1, 320, 4, 5)
    block4 = [
        [-1.339033, -0.111830, -0.285982, -0.668890],
        [0.073883, 4.617484, 2.176201, -0.001352],
    ]
    picked = deepest[0, :4, [0, 3], [0, 4]]
    np.testing.assert_allclose(picked, block4, atol=11.7 * RELATIVE)


@EVERY
def test_folded_batch_norm_gives_the_unfolded_networks_numbers(narrow, info):
    params = calm_params(info, seed=2)
    plain, folded = build_delf(info).eval(), build_delf(info, folded=True).eval()
    put_params(plain, params)
    put_params(folded, fold_batch_norm(params, info))
    assert not any("bn" in name for name in canonical_tensors(folded))
    x = torch.randn(1, 3, 65, 80, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted, actual = [*plain(x)], [*folded(x)]
        if info.block4:
            wanted.append(plain.deepest(x))
            actual.append(folded.deepest(x))
    for one, other in zip(actual, wanted, strict=True):
        assert_near(one.numpy(), other.numpy())


@EVERY
def test_network_parameters_are_the_canonical_table(narrow, info):
    tensors = canonical_tensors(build_delf(info))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == parameter_shapes(info)
    network = build_delf(info)
    params = random_params(info)
    put_params(network, params)
    for name, array in get_params(network).items():
        np.testing.assert_array_equal(array, params[name])


def test_put_params_lists_what_does_not_fit(narrow):
    params = random_params(KERAS)
    del params["block1.0.conv1.bias"]
    params["block9.weight"] = np.zeros(1, np.float32)
    params["attention.conv2.bias"] = np.zeros(2, np.float32)
    with pytest.raises(DelfError) as caught:
        put_params(build_delf(KERAS), params)
    for part in (
        "missing: block1.0.conv1.bias",
        "left over: block9",
        "shape: attention",
    ):
        assert part in str(caught.value)


# --- geometry -------------------------------------------------------------------------


@EVERY
def test_map_side_is_the_side_of_the_real_map(narrow, info):
    field, backbone = receptive_field(info), build_delf(info).backbone.eval()
    with torch.inference_mode():
        for height in range(10, 81):
            width = 90 - height
            shape = tuple(backbone(torch.zeros(1, 3, height, width)).shape[2:])
            assert shape == (field.map_side(height), field.map_side(width))


@EVERY
def test_declared_stride_and_width(info):
    field = receptive_field(info)
    assert field.stride == (32 if info.block3_strides else 16)
    if info.architecture == "resnet50":
        assert (field.size, field.padding) == (291, 145)
        assert block_channels(info, "block3") == 1024
    else:
        assert (field.size, field.padding) == (339, 169)
        assert block_channels(info, "block3") == 112


class MeanPool(MaxPool):
    """Sees the same pixels as the maximum, but all of them at once."""

    def forward(self, x):
        if self.dynamic:
            x = pad_same(x, self.layer)
        return torch.nn.functional.avg_pool2d(x, 3, 2, self.padding)


def gradient_centres(info, height, width):
    """Cell and pixel at the middle of what it sees, on both axes, by its gradient.

    All kernels are constant and positive, so that the gradient has one sign; the max
    pool becomes a mean, which sees the same pixels.
    """
    backbone = build_delf(info).backbone.eval().double()
    for name, parameter in backbone.named_parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 1
        torch.nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1 / fan)
    for name, parameter in backbone.named_parameters():
        if "bn" in name and name.endswith("weight"):
            torch.nn.init.ones_(parameter)
    if info.architecture == "resnet50":
        backbone.pool1 = MeanPool(resnet_variant(info).pool_padding)
    x = torch.full((1, 3, height, width), 1e-3, dtype=torch.float64, requires_grad=True)
    features = backbone(x)
    cell = [side // 2 for side in features.shape[2:]]
    features[0, 0, cell[0], cell[1]].backward()
    seen = x.grad[0].sum(0)
    found = []
    for axis in (0, 1):
        profile = seen.sum(1 - axis).numpy()
        assert profile.min() >= 0 and profile.max() > 0
        pixels = np.flatnonzero(profile)
        assert pixels[0] > 0 and pixels[-1] < len(profile) - 1  # nothing is cut off
        mean = (profile * np.arange(len(profile))).sum() / profile.sum()
        found.append((cell[axis], mean, (pixels[0] + pixels[-1]) / 2, len(pixels)))
    return found


@pytest.mark.parametrize("first", range(0, 16, 2))
@EVERY
def test_centre_offset_is_the_middle_of_what_a_cell_sees(narrow, info, first):
    sides = 400 + first, 401 + first  # over all cases every remainder modulo 16
    field = receptive_field(info)
    for side, found in zip(sides, gradient_centres(info, *sides), strict=True):
        cell, mean, middle, size = found
        wanted = field.centre_offset(side) + field.stride * cell
        assert mean == pytest.approx(wanted, abs=1e-6)
        assert middle == wanted
        if info.variant != "torchvision":  # whose true size is 267
            assert size == field.size


@pytest.mark.parametrize("info", [KERAS, STRIDED])
def test_keras_centres_are_those_of_the_specification(info):
    field = receptive_field(info)
    assert [field.centre_offset(side) for side in (321, 320, 511, 512)] == [2, 3, 2, 3]
    assert [field.map_side(321), field.map_side(512)] == (
        [10, 16] if info.block3_strides else [20, 32]
    )


# --- attention ------------------------------------------------------------------------


def test_trained_attention_is_a_softplus_of_two_convolutions(narrow):
    params = random_params(KERAS, seed=4)
    network = build_delf(KERAS).eval()
    put_params(network, params)
    features = np.random.default_rng(5).normal(0, 1, (16, 3, 4)).astype(np.float32)
    with torch.inference_mode():
        actual = network.attention(torch.from_numpy(features)[None]).numpy()
    p = {name: array.astype(np.float64) for name, array in params.items()}
    hidden = np.einsum("chw,oc->ohw", features, p["attention.conv1.weight"][..., 0, 0])
    hidden = (hidden.T + p["attention.conv1.bias"] - p["attention.bn1.running_mean"]).T
    gain = p["attention.bn1.weight"] / np.sqrt(p["attention.bn1.running_var"] + 1e-3)
    hidden = (hidden.T * gain + p["attention.bn1.bias"]).T
    last = p["attention.conv2.weight"][0, :, 0, 0]
    score = np.einsum("chw,c->hw", np.maximum(hidden, 0), last)
    wanted = np.log1p(np.exp(score + p["attention.conv2.bias"]))
    assert_near(actual, wanted[None])


def test_an_autoencoders_features_are_narrow_and_its_attention_sees_them_wide(narrow):
    params = random_params(DELG, seed=4)
    network = build_delf(DELG).eval()
    put_params(network, params)
    x = torch.randn(1, 3, 64, 80, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        block3 = network.backbone(x)
        features, attention = network(x)
        p = {name: torch.from_numpy(array) for name, array in params.items()}
        reduced = torch.einsum(
            "bchw,oc->bohw", block3, p["autoencoder.conv1.weight"][..., 0, 0]
        )
        reduced = reduced + p["autoencoder.conv1.bias"][:, None, None]
        wide = torch.einsum(
            "bchw,oc->bohw", reduced, p["autoencoder.conv2.weight"][..., 0, 0]
        )
        wide = F.relu(wide + p["autoencoder.conv2.bias"][:, None, None])
        assert features.shape[1] == 7 == feature_channels(DELG)
        assert_near(features.numpy(), reduced.numpy())
        assert_near(attention.numpy(), network.attention(wide).numpy())
    checkpoint = Checkpoint(params, DELG)
    assert TorchNetwork(checkpoint, torch.device("cpu")).channels == 7


def test_weights_that_end_at_block3_have_no_global_maps(narrow):
    checkpoint = Checkpoint(random_params(OFFICIAL_SLIM), OFFICIAL_SLIM)
    network = TorchNetwork(checkpoint, torch.device("cpu"))
    image = np.zeros((1, 64, 64, 3), np.uint8)
    assert network.dense(image, [(64, 64)])[0].attention.shape == (1, 2, 2)
    with pytest.raises(DelfError, match="ends at block3"):
        network.global_maps(image, (64, 64))


def test_an_autoencoder_needs_a_trained_attention():
    with pytest.raises(DelfError, match="autoencoder of width 7"):
        check_architecture(dataclasses.replace(DELG, attention="feature_norm"))


def test_untrained_attention_is_the_length_of_the_feature_row(lite0):
    image = np.random.default_rng(0).integers(0, 256, (1, 50, 70, 3), np.uint8)
    maps = lite0.dense(image, [(50, 70)])[0]
    rows = maps.gather(0, np.arange(maps.attention[0].size))
    assert_near(
        maps.attention[0].ravel(), np.linalg.norm(rows.astype(np.float64), axis=1)
    )


# --- the seam -------------------------------------------------------------------------


def test_an_images_maps_are_the_same_bits_in_any_batch(lite0):
    images = np.random.default_rng(0).integers(0, 256, (3, 60, 91, 3), np.uint8)
    sizes = [(30, 46), (60, 91), (85, 129)]
    together = lite0.dense(images, sizes)
    for i in range(3):
        alone = lite0.dense(images[i : i + 1], sizes)
        for level in range(3):
            np.testing.assert_array_equal(
                alone[level].attention[0], together[level].attention[i]
            )
            cells = np.arange(alone[level].attention.size)
            np.testing.assert_array_equal(
                alone[level].gather(0, cells), together[level].gather(i, cells)
            )


def test_a_cpu_runs_each_image_of_a_batch_alone(lite0):
    # Equal bits above may be luck of the sizes; this is what guarantees them.
    seen = []
    hook = lite0.maps.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape))
    lite0.dense(np.zeros((3, 40, 50, 3), np.uint8), [(40, 50), (20, 25)])
    hook.remove()
    assert seen == [(1, 3, 40, 50)] * 3 + [(1, 3, 20, 25)] * 3


def test_levels_are_normalised_then_resized_bilinearly(lite0):
    image = np.random.default_rng(1).integers(0, 256, (64, 81, 3), np.uint8)
    for height, width in [(64, 81), (32, 40), (91, 115)]:
        pixels = (image.astype(np.float32) - 128) / 128
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        x = torch.from_numpy(np.moveaxis(pixels, -1, 0).copy())[None]
        with torch.inference_mode():
            features, attention = lite0.delf(x)
        maps = lite0.dense(image[None], [(height, width)])[0]
        assert_near(maps.attention, attention.numpy(), 3e-5)
        rows = maps.gather(0, np.arange(maps.attention.size))
        wanted = np.moveaxis(features[0].numpy(), 0, -1).reshape(-1, lite0.channels)
        assert_near(rows, wanted, 3e-5)


def test_gather_takes_row_major_cells_in_the_order_asked(lite0):
    image = np.random.default_rng(2).integers(0, 256, (2, 60, 91, 3), np.uint8)
    maps = lite0.dense(image, [(60, 91)])[0]
    assert maps.attention.shape == (2, 4, 6) and maps.attention.dtype == np.float32
    rows = maps.gather(1, np.array([13, 2, 13]))
    assert rows.shape == (3, 112) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows[0], rows[2])
    attention = maps.attention[1].ravel()[[13, 2, 13]]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), attention, rtol=1e-5)
    none = maps.gather(0, np.zeros(0, np.intp))
    assert none.shape == (0, 112) and none.dtype == np.float32


def test_no_images_and_no_levels_give_empty_answers(lite0):
    image = np.zeros((1, 40, 40, 3), np.uint8)
    assert lite0.dense(image, []) == []


def test_features_do_not_cost_block4(lite0, monkeypatch):
    def refuse(*_):
        raise AssertionError("block4 was computed")

    monkeypatch.setattr(lite0.maps.backbone, "rest", [refuse])
    image = np.zeros((1, 40, 40, 3), np.uint8)
    lite0.dense(image, [(40, 40)])
    with pytest.raises(AssertionError, match="block4"):
        lite0.global_maps(image, (40, 40))


def test_the_network_leaves_torchs_settings_and_its_input_alone(lite0):
    image = np.full((1, 40, 40, 3), 7, np.uint8)
    before = torch.backends.cudnn.allow_tf32
    lite0.dense(image, [(40, 40), (20, 20)])
    assert torch.backends.cudnn.allow_tf32 == before
    assert (image == 7).all()
    flipped = np.random.default_rng(3).integers(0, 256, (1, 40, 50, 3), np.uint8)
    view = lite0.dense(flipped[:, :, ::-1], [(40, 50)])[0].attention
    copy = lite0.dense(flipped[:, :, ::-1].copy(), [(40, 50)])[0].attention
    np.testing.assert_array_equal(view, copy)


def test_resnet_checkpoint_with_heads_runs_as_a_network(narrow):
    info = dataclasses.replace(STRIDED, num_classes=7)
    checkpoint = Checkpoint(random_params(info), info)
    network = TorchNetwork(checkpoint, torch.device("cpu"))
    image = np.random.default_rng(0).integers(0, 256, (2, 100, 131, 3), np.uint8)
    maps = network.dense(image, [(100, 131)])[0]
    field = network.receptive_field
    assert maps.attention.shape == (2, field.map_side(100), field.map_side(131))
    assert maps.gather(1, np.array([0])).shape == (1, network.channels) == (1, 16)
    assert network.global_maps(image, (100, 131)).shape[:2] == (2, 20)


def test_block4_has_stride_32_with_and_without_block3_strides(narrow):
    x = torch.zeros(1, 3, 321, 300)
    with torch.inference_mode():
        sizes = {build_delf(i).eval().deepest(x).shape[2:] for i in (KERAS, STRIDED)}
    assert sizes == {(10, 10)}


# --- layers and devices ---------------------------------------------------------------


def test_frozen_batch_norm_keeps_its_statistics_in_training(narrow):
    network = build_delf(TORCHVISION)
    put_params(network, random_params(TORCHVISION))
    freeze_batch_norm(network)
    network.train()
    before = get_params(network)
    network(torch.randn(2, 3, 48, 48))
    for name, array in get_params(network).items():
        np.testing.assert_array_equal(array, before[name])
    freeze_batch_norm(network, frozen=False)
    network(torch.randn(2, 3, 48, 48))
    after = get_params(network)
    assert not np.array_equal(after["bn1.running_mean"], before["bn1.running_mean"])


def test_running_statistics_take_one_percent_of_a_new_batch(narrow):
    network = build_delf(KERAS).train()
    x = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)) + 3
    with torch.no_grad():
        mean = network.backbone.conv1(x).mean(dim=(0, 2, 3)).numpy()
        network(x)
    wanted = 0.01 * mean
    np.testing.assert_allclose(
        get_params(network)["bn1.running_mean"], wanted, rtol=1e-4
    )


def test_devices_that_are_not_there_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="no CUDA device; try --device cpu"):
        choose_device("cuda:0")
    for wrong in ("gpu", "cuda:x", "cuda:-1", "cpu:3", "", "ascend:0"):
        with pytest.raises(UsageError, match="auto, cpu and cuda:N"):
            choose_device(wrong)


def test_a_device_number_past_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match="has 2 CUDA devices"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "vgg16"},
        {"variant": "slimmer"},
        {"attention": "magic"},
        {"architecture": "efficientnet_lite0", "variant": ""},
    ],
)
def test_unknown_networks_are_refused_with_what_there_is(change):
    info = dataclasses.replace(STRIDED, **change)
    with pytest.raises(DelfError, match=r"there is|neither"):
        build_delf(info)


def test_max_pool_padding_never_wins_against_negative_numbers():
    from delf_torch.layers import MaxPool

    x = torch.full((1, 1, 5, 5), -2.0)
    assert F.relu(-MaxPool(1)(x)).unique().tolist() == [2.0]
    assert MaxPool("valid")(x).shape[-1] == 2 and MaxPool(1)(x).shape[-1] == 3
