"""The way a backbone runs on a CPU gives the numbers of its modules, one by one."""

import numpy as np
import pytest
from small_networks import EVERY as EVERY_NETWORK
from small_networks import calm_params

torch = pytest.importorskip("torch")

from delf_common.weights.folding import fold_batch_norm  # noqa: E402
from delf_torch import chains, fused  # noqa: E402
from delf_torch.cpu_backbone import CpuBackbone, lite0_parts  # noqa: E402
from delf_torch.delf import build_delf  # noqa: E402
from delf_torch.layers import put_channels_last  # noqa: E402
from delf_torch.parameters import put_params  # noqa: E402

RELATIVE = 1e-5  # largest difference over largest value, float32 (design.md section 8)


def folded(info):
    network = build_delf(info, folded=True).eval()
    put_params(network, fold_batch_norm(calm_params(info), info))
    put_channels_last(network)
    return network


def assert_near(actual, wanted):
    assert actual.shape == wanted.shape
    assert float((actual - wanted).abs().max() / wanted.abs().max()) <= RELATIVE


@pytest.mark.parametrize("fuses", [True, False], ids=["fused", "plain"])
@pytest.mark.parametrize("size", [(64, 96), (65, 79), (33, 50), (18, 17)])
@pytest.mark.parametrize("info", EVERY_NETWORK.values(), ids=EVERY_NETWORK)
def test_chains_give_the_modules_numbers(narrow, monkeypatch, info, size, fuses):
    if not fuses:
        monkeypatch.setattr(fused, "fusion_works", lambda: False)
    elif not fused.fusion_works():
        pytest.skip("this PyTorch has no fused convolutions")
    monkeypatch.setattr(chains, "STRIP_BYTES", 2000)  # strips of a row or two
    network = folded(info)
    fast = CpuBackbone(network.backbone)
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    with torch.inference_mode():
        wanted = network.backbone(x)
        features = fast(x)
        assert_near(features, wanted)
        if info.block4:
            before = features.clone()
            assert_near(fast.deepest(features), network.backbone.deepest(wanted))
            assert torch.equal(features, before)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 40])
def test_any_height_of_strips_gives_one_result(monkeypatch, rows):
    network = folded(EVERY_NETWORK["lite0"])
    parts = lite0_parts(network.backbone)[0]
    x = torch.randn(1, 3, 45, 38, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = network.backbone(x)
        monkeypatch.setattr(chains, "strip_rows", lambda steps, sides: rows)
        assert_near(chains.run_parts(parts, x), wanted)


def test_strips_are_alike_and_no_larger_than_asked(monkeypatch):
    steps = lite0_parts(folded(EVERY_NETWORK["lite0"]).backbone)[0][0].steps
    sides = chains.map_sides(steps, (1536, 2048))
    assert sides[-1] == (384, 512)
    strip = chains.strip_rows(steps, sides)
    widest = 96 * 4 * 1024 * 2  # bytes of the rows that one row of output needs
    assert chains.STRIP_BYTES / 2 < strip * widest <= chains.STRIP_BYTES
    assert chains.strip_rows(steps, chains.map_sides(steps, (16, 16))) == 4


def test_without_the_operation_two_others_do_the_same(monkeypatch):
    def missing(*_):
        raise RuntimeError("no such operation")

    fused.fusion_works.cache_clear()
    monkeypatch.setattr(fused, "_fused", missing)
    assert not fused.fusion_works()
    fused.fusion_works.cache_clear()
    x, kernel = torch.tensor([[[[3.0, -4.0]]]]), torch.full((1, 1, 1, 1), 4.0)
    monkeypatch.setattr(fused, "fusion_works", lambda: False)
    with torch.inference_mode():
        y = fused.convolve(x, kernel, None, 1, (0, 0), 1, "relu6")
        np.testing.assert_array_equal(y.flatten(), [6, 0])
        total = fused.convolve_onto(torch.full_like(x, 5), x, kernel, None, "relu")
    np.testing.assert_array_equal(total.flatten(), [17, 0])
