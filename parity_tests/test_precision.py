# SPDX-License-Identifier: Apache-2.0
"""Extraction in bf16: refused where it loses, never mixed with float32."""

import dataclasses

import numpy as np
import pytest
from fake_network import FakeNetwork
from PIL import Image
from small_networks import EVERY, KERAS, OFFICIAL_SLIM, calm_params

from delf_common.cli.main import main
from delf_common.config import ExtractConfig
from delf_common.errors import UsageError
from delf_common.extraction.extractor import Extractor
from delf_common.io.feature_file import FeatureReader
from delf_common.weights.checkpoint import Checkpoint

BF16 = ExtractConfig(precision="bf16")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 96, 131, 3), np.uint8)
SIZES = [(96, 131), (48, 66)]


@pytest.fixture
def emulated(monkeypatch):
    """PyTorch computes in bf16 on any CPU, however slowly."""
    pytest.importorskip("torch")
    monkeypatch.setattr("delf_torch.precision.has_bfloat16", lambda device: True)


def torch_network(info):
    torch = pytest.importorskip("torch")
    from delf_torch.network import TorchNetwork

    return TorchNetwork(Checkpoint(calm_params(info), info), torch.device("cpu"))


def largest_difference(actual, wanted):
    assert actual.shape == wanted.shape and actual.dtype == wanted.dtype == np.float32
    assert np.isfinite(actual).all() and np.isfinite(wanted).all()
    return np.abs(actual - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("info", EVERY.values(), ids=EVERY)
def test_maps_in_bf16_are_those_of_float32_to_its_digits(narrow, emulated, info):
    network = torch_network(info)
    mixed = network.in_precision("bf16")
    wanted, actual = network.dense(IMAGES, SIZES), mixed.dense(IMAGES, SIZES)
    for one, other in zip(actual, wanted, strict=True):
        cells = np.arange(other.attention[0].size)
        rows = one.gather(1, cells), other.gather(1, cells)
        assert 1e-4 < largest_difference(*rows) < 0.1  # of 8 bits each, 0.004
        assert 0 < largest_difference(one.attention, other.attention) < 0.05
    if info.block4:
        deepest = [one.global_maps(IMAGES, (96, 131)) for one in (mixed, network)]
        assert 1e-4 < largest_difference(*deepest) < 0.2
    again = network.dense(IMAGES, SIZES)[0]  # the network itself is as before
    np.testing.assert_array_equal(again.attention, wanted[0].attention)


def test_scores_are_not_rounded_to_bf16(narrow, emulated):
    mixed = torch_network(KERAS).in_precision("bf16")
    attention = mixed.dense(IMAGES, SIZES)[0].attention
    lowest_bits = attention.view(np.uint32) & 0xFFFF
    assert np.count_nonzero(lowest_bits) > attention.size / 2


def test_levels_are_drawn_in_float32_and_then_rounded(narrow, emulated):
    torch = pytest.importorskip("torch")
    network = torch_network(OFFICIAL_SLIM)
    seen = network.in_precision("bf16").trace(IMAGES, SIZES[1])
    assert {maps.dtype for maps in seen.values()} == {np.dtype(np.float32)}
    assert not (seen["stem"].view(np.uint32) & 0xFFFF).any()
    drawn = torch.from_numpy(network.trace(IMAGES, SIZES[1])["resize"])
    np.testing.assert_array_equal(seen["resize"], drawn.bfloat16().float())


def test_a_cpu_without_its_instructions_refuses_bf16(narrow, monkeypatch):
    network = torch_network(KERAS)
    monkeypatch.setattr("delf_torch.precision.has_bfloat16", lambda device: False)
    with pytest.raises(UsageError, match=r"--precision bf16: this cpu .* 6 to 8 times"):
        Extractor(network, BF16)


def test_an_exported_file_refuses_bf16():
    with pytest.raises(UsageError, match="--precision bf16: an exported file"):
        Extractor(FakeNetwork(), BF16)


def test_the_settings_name_the_precision_only_where_it_is_not_float32(narrow, emulated):
    network = torch_network(KERAS)
    assert "precision" not in Extractor(network).settings()  # as files from before
    assert Extractor(network, BF16).settings()["precision"] == "bf16"


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_a_feature_file_is_not_continued_in_another_precision(
    photographs, tmp_path, emulated, capsys
):
    output = tmp_path / "features.h5"
    call = ["extract", str(photographs), "--output", str(output), "--device", "cpu"]
    assert main([*call, "--precision", "bf16"]) == 0
    with FeatureReader(output) as reader:
        assert reader.info["config"]["precision"] == "bf16"
    Image.fromarray(IMAGES[0][::-1]).save(photographs / "2.png")
    assert main([*call, "--resume"]) == 1
    assert "other settings: precision was 'bf16', is None" in capsys.readouterr().err
    assert main([*call, "--resume", "--precision", "bf16"]) == 0


def test_an_index_in_bf16_is_searched_in_float32(
    photographs, tmp_path, emulated, monkeypatch, capsys
):
    index = tmp_path / "places.index"
    call = ["index", str(photographs), "--output", str(index), "--device", "cpu"]
    assert main([*call, "--precision", "bf16"]) == 0
    Image.fromarray(IMAGES[0][::-1]).save(photographs / "2.png")
    assert main([*call, "--add"]) == 1  # nothing else may be mixed
    assert "precision 'bf16' there, None here" in capsys.readouterr().err
    monkeypatch.setattr("delf_torch.precision.has_bfloat16", lambda device: False)
    query = ["search", str(index), str(photographs / "1.png"), "--device", "cpu"]
    assert main(query) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert first.strip().startswith("1. 1.png")


def test_mindspore_refuses_bf16_on_a_cpu_and_rounds_elsewhere(narrow, monkeypatch):
    ms = pytest.importorskip("mindspore")
    from delf_ms.network import MsNetwork

    info = dataclasses.replace(KERAS, block4=False)
    network = MsNetwork(Checkpoint(calm_params(info), info), "cpu")
    with pytest.raises(UsageError, match="--precision bf16: MindSpore has no conv"):
        Extractor(network, BF16)
    # A CPU's MindSpore has convolutions in fp16 only, and slow ones.
    choice = "delf_ms.network.choose_precision"
    monkeypatch.setattr(choice, lambda precision, device: ms.float16)
    mixed = Extractor(network, BF16).network
    wanted, actual = network.dense(IMAGES, SIZES)[0], mixed.dense(IMAGES, SIZES)[0]
    cells = np.arange(wanted.attention[0].size)
    rows = actual.gather(0, cells), wanted.gather(0, cells)
    assert 1e-5 < largest_difference(*rows) < 0.01
    assert 0 < largest_difference(actual.attention, wanted.attention) < 0.01
