"""`delf bench network`: what it counts, and that it measures what it says."""

import numpy as np
import pytest
from fake_network import FakeNetwork

pytest.importorskip("torch")

from delf_common.bench import network as bench
from delf_common.config import ExtractConfig
from delf_common.errors import DelfError
from delf_common.weights.checkpoint import load_checkpoint
from delf_torch.plain_network import PlainNetwork
from delf_torch.rates import count_flop


def test_every_runtime_is_timed_and_related_to_the_matrix_rate(tmp_path, monkeypatch):
    monkeypatch.setattr("delf_torch.rates.SIDES", {"cpu": 64})
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    config = ExtractConfig(image_scales=(0.5, 1.0))
    result = bench.run_network_bench("delf-lite0", image, config, 1, tmp_path)
    assert {"plain torch", "torch"} <= set(result["runtimes"])
    assert result["levels"] == 2
    for name, row in result["runtimes"].items():
        assert row["gflops"] == pytest.approx(result["gflop"] / row["seconds"])
        share = row["gflops"] / result["matrix_gflops"]["float32"]
        assert row["share_of_matrix_rate"] == pytest.approx(share)
        assert name in bench.format_table(result)


@pytest.mark.parametrize("weights", ["delf-lite0", "resnet50"])
def test_tensorflows_graph_gives_our_numbers(narrow, tmp_path, weights):
    pytest.importorskip("tensorflow", reason="an optional peer")
    from delf_common.bench.tensorflow_peer import TensorFlowNetwork

    if weights == "resnet50":
        weights = bench.random_resnet(tmp_path)
    networks = {bench.PLAIN: PlainNetwork(weights)}
    networks["tensorflow"] = TensorFlowNetwork(weights, 1)
    image = np.random.default_rng(0).integers(0, 256, (90, 107, 3), dtype=np.uint8)
    bench.agree(networks, image, [(90, 107), (81, 66)])


class Louder(FakeNetwork):
    """Off by a thousandth."""

    def _blocks(self, image, size):
        return super()._blocks(image, size) * np.float32(1.001)


def test_a_runtime_that_computes_something_else_is_not_timed():
    networks = {bench.PLAIN: FakeNetwork(), "other": FakeNetwork()}
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    bench.agree(networks, image, [(64, 64)])
    networks["other"] = Louder()
    with pytest.raises(DelfError, match="other: attention"):
        bench.agree(networks, image, [(64, 64)])
    bench.agree(networks, image, [(64, 64)], rounded=True)  # as beside TF32


def test_bf16_is_related_to_its_own_matrix_rate(tmp_path, monkeypatch):
    monkeypatch.setattr("delf_torch.rates.SIDES", {"cpu": 64})
    for module in ("rates", "precision"):
        has = f"delf_torch.{module}.has_bfloat16"
        monkeypatch.setattr(has, lambda device: True)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    config = ExtractConfig(image_scales=(1.0,))
    result = bench.run_network_bench(
        "delf-lite0", image, config, 1, tmp_path, "cpu", batch_size=3
    )
    assert set(result["matrix_gflops"]) == {"float32", "bf16"}
    row = result["runtimes"]["torch bf16"]
    share = row["gflops"] / result["matrix_gflops"]["bf16"]
    assert row["share_of_matrix_rate"] == pytest.approx(share)
    assert row["images_per_second"] == pytest.approx(3 / row["seconds"])
    info = load_checkpoint("delf-lite0").info
    assert result["gflop"] == pytest.approx(3 * count_flop(info, [(60, 80)]) / 1e9)


def test_operations_are_two_for_every_product_of_the_convolutions(narrow, tmp_path):
    info = load_checkpoint(bench.random_resnet(tmp_path)).info
    one, other = (64, 64), (96, 64)
    counted = count_flop(info, [one])
    # Width 2, 3, 4, 5 and four times as much between; stem SAME, pool VALID: 32, 15,
    # 8, 4 cells a side in stem and blocks, halved by the first unit.
    macs = 32**2 * 3 * 64 * 49
    cells, channels = 15, 64
    for width, units, stride in ((2, 3, 1), (3, 4, 2), (4, 6, 2)):
        cells = -(-cells // stride)
        macs += cells**2 * 4 * width * channels
        for _ in range(units):
            macs += cells**2 * (channels * width + 9 * width**2 + 4 * width**2)
            channels = 4 * width
    macs += cells**2 * (channels * 512 + 512)
    assert counted == 2 * macs
    assert count_flop(info, [one, other]) == counted + count_flop(info, [other])


def test_the_plain_network_gives_the_fast_ones_numbers(tmp_path):
    networks = bench.load_networks("delf-lite0", tmp_path)
    assert isinstance(networks["plain torch"], PlainNetwork)
    image = np.random.default_rng(0).integers(0, 256, (1, 60, 80, 3), dtype=np.uint8)
    cells = np.arange(4 * 5)
    wanted = networks["plain torch"].dense(image, [(60, 80)])[0]
    for network in networks.values():
        maps = network.dense(image, [(60, 80)])[0]
        np.testing.assert_allclose(
            maps.attention, wanted.attention, rtol=1e-4, atol=1e-4
        )
        rows = maps.gather(0, cells)
        largest = np.abs(rows).max()
        np.testing.assert_allclose(rows, wanted.gather(0, cells), atol=2e-5 * largest)
