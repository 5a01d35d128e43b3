# SPDX-License-Identifier: Apache-2.0
"""Recorded kernels give what the network gives; a stand-in records on a CPU."""

import numpy as np
import pytest
from small_networks import KERAS, LITE0, calm_params

from delf_common.weights.checkpoint import Checkpoint

torch = pytest.importorskip("torch")

from delf_torch.graphs import MOST_SEEN, GraphCache, Recording  # noqa: E402
from delf_torch.network import TorchNetwork  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 96, 131, 3), np.uint8)
SIZES = [(96, 131), (48, 66), (68, 93)]
ON_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: CUDA graphs were not run"
)


class StandIn:
    """Records as CUDA does: fixed memory, which a replay reads and writes anew."""

    def __init__(self):
        self.shapes = []
        self.replays = 0

    def __call__(self, maps, example):
        self.shapes.append(tuple(example.shape))
        inputs = torch.full_like(example, torch.nan)
        outputs = maps(torch.zeros_like(example))

        def replay():
            self.replays += 1
            for fixed, new in zip(outputs, maps(inputs), strict=True):
                fixed.copy_(new)

        return Recording(inputs, outputs, replay)


def double(x):
    return 2 * x, x.sum(dim=1)


def level(side, value=1.0):
    return torch.full((1, 3, side, side), value)


def test_a_shape_is_recorded_the_second_time_and_replayed_from_then_on():
    record = StandIn()
    cache = GraphCache(double, record)
    for count, value in enumerate([1.0, 2.0, 3.0, 4.0]):
        features, attention = cache(level(4, value))
        assert (features == 2 * value).all() and (attention == 3 * value).all()
        assert record.shapes == [(1, 3, 4, 4)] * (count > 0)
        assert record.replays == count
    cache(level(5))
    assert len(record.shapes) == 1


def test_what_a_replay_gave_survives_the_next():
    cache = GraphCache(double, StandIn())
    cache(level(4))
    first, second = cache(level(4, 5.0)), cache(level(4, 7.0))
    assert [maps.unique().item() for maps in first] == [10.0, 15.0]
    assert [maps.unique().item() for maps in second] == [14.0, 21.0]


def test_batches_of_another_number_are_another_shape():
    record = StandIn()
    cache = GraphCache(double, record)
    for _ in range(2):
        cache(level(4))
        cache(torch.cat([level(4), level(4)]))
    assert record.shapes == [(1, 3, 4, 4), (2, 3, 4, 4)]


def test_the_recordings_used_last_are_kept_and_a_dropped_one_is_earned_anew():
    record = StandIn()
    cache = GraphCache(double, record, most=2)
    for side in (4, 4, 5, 5, 4, 6, 6):  # 4 is used after 5, so 6 takes the place of 5
        cache(level(side))
    assert [shape[-1] for shape in record.shapes] == [4, 5, 6]
    assert [shape[-1] for shape in cache.recordings] == [4, 6]
    cache(level(4))
    assert len(record.shapes) == 3
    cache(level(5))  # as it is, as at its first time
    assert len(record.shapes) == 3
    cache(level(5))
    assert [shape[-1] for shape in record.shapes] == [4, 5, 6, 5]
    assert [shape[-1] for shape in cache.recordings] == [4, 5]


def test_shapes_that_never_come_again_take_no_memory():
    cache = GraphCache(double, StandIn())
    for side in range(1, MOST_SEEN + 10):
        cache(torch.zeros(1, 1, 1, side))
    assert len(cache.seen) == MOST_SEEN and not cache.recordings


@pytest.mark.parametrize("info", [KERAS, LITE0], ids=["keras", "lite0"])
def test_a_networks_maps_are_the_same_bits_recorded_or_not(narrow, info):
    network = TorchNetwork(Checkpoint(calm_params(info), info), torch.device("cpu"))
    wanted = network.dense(IMAGES, SIZES)
    record = StandIn()
    network.maps = GraphCache(network.maps, record)
    for _ in range(3):
        actual = network.dense(IMAGES, SIZES)
    assert len(record.shapes) == len(SIZES)
    assert record.replays == 3 * 2 * len(SIZES) - len(SIZES)
    assert_same(actual, wanted)


def assert_same(actual, wanted):
    for one, other in zip(actual, wanted, strict=True):
        np.testing.assert_array_equal(one.attention, other.attention)
        cells = np.arange(other.attention[0].size)
        for image in range(len(IMAGES)):
            rows = one.gather(image, cells), other.gather(image, cells)
            np.testing.assert_array_equal(*rows)


def test_every_level_is_asked_for_before_the_first_is_copied_back(narrow, monkeypatch):
    network = TorchNetwork(Checkpoint(calm_params(KERAS), KERAS), torch.device("cpu"))
    events = []
    maps = network.maps
    network.maps = lambda x: events.append("network") or maps(x)
    monkeypatch.setattr(
        "delf_torch.network.Download", lambda tensor: events.append("copy")
    )
    network.dense(IMAGES[:1], SIZES)
    assert events == ["network"] * 3 + ["copy"] * 3


# --- on a CUDA device -----------------------------------------------------------------


@ON_CUDA
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("info", [KERAS, LITE0], ids=["keras", "lite0"])
def test_cuda_graphs_give_the_maps_of_the_plain_call(info, precision):
    network = TorchNetwork(Checkpoint(calm_params(info), info), torch.device("cuda:0"))
    network = network.in_precision(precision)
    wanted = network.dense(IMAGES, SIZES)  # a first time is a plain call
    for _ in range(3):
        actual = network.dense(IMAGES, SIZES)
    assert len(network.maps.recordings) == len(SIZES)
    assert_same(actual, wanted)


@ON_CUDA
def test_cuda_maps_that_wait_are_not_those_of_the_next_batch():
    network = TorchNetwork(
        Checkpoint(calm_params(KERAS), KERAS), torch.device("cuda:0")
    )
    network.dense(IMAGES, SIZES)
    wanted = [network.dense(batch, SIZES) for batch in (IMAGES, IMAGES[::-1])]
    for maps in wanted:  # looked at, so done
        assert all(np.isfinite(one.attention).all() for one in maps)
    first = network.dense(IMAGES, SIZES)
    second = network.dense(IMAGES[::-1], SIZES)  # asked for before the first is seen
    assert_same(first, wanted[0])
    assert_same(second, wanted[1])


@ON_CUDA
def test_cuda_in_float32_gives_the_cpus_maps():
    checkpoint = Checkpoint(calm_params(KERAS), KERAS)
    wanted = TorchNetwork(checkpoint, torch.device("cpu")).dense(IMAGES, SIZES)
    network = TorchNetwork(checkpoint, torch.device("cuda:0"))
    for _ in range(2):
        for one, other in zip(network.dense(IMAGES, SIZES), wanted, strict=True):
            largest = other.attention.max()
            np.testing.assert_allclose(
                one.attention, other.attention, atol=1e-4 * largest
            )
