"""Levels run beside each other give what they give one after another, in order."""

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from delf_torch import beside, network  # noqa: E402
from delf_torch.loading import load_network  # noqa: E402


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_items_run_at_a_time_with_half_the_threads_each(two_threads):
    meeting = threading.Barrier(2, timeout=60)

    def work(item):
        meeting.wait()  # fails where one item waits for the other
        return item, torch.get_num_threads(), torch.is_inference_mode_enabled()

    found = beside.run_beside(work, [3, 1, 4, 2], [3, 1, 4, 2])
    assert found == [(item, 1, True) for item in (3, 1, 4, 2)]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads, costs", [(2, [1, 5]), (1, [1, 1])])
def test_an_item_keeps_all_threads_where_halves_would_idle(two_threads, threads, costs):
    torch.set_num_threads(threads)
    caller = threading.get_ident()

    def work(item):
        assert threading.get_ident() == caller
        return item, torch.get_num_threads()

    assert beside.run_beside(work, "ab", costs) == [("a", threads), ("b", threads)]
    assert beside.run_beside(work, "", []) == []


def test_an_error_reaches_the_caller_and_the_threads_are_given_back(two_threads):
    def work(item):
        raise ValueError(item)

    with pytest.raises(ValueError, match="7"):
        beside.run_beside(work, [7, 8], [1, 1])
    assert torch.get_num_threads() == 2


def test_levels_beside_each_other_have_the_bits_of_one_thread(monkeypatch, two_threads):
    image = np.random.default_rng(0).integers(0, 256, (2, 70, 90, 3), dtype=np.uint8)
    sizes = [(35, 45), (70, 90), (88, 113)]
    delf = load_network("delf-lite0", "cpu")
    used = []

    def spy(work, items, costs):
        used.append(beside.run_beside(work, items, costs))
        return used[-1]

    monkeypatch.setattr(network, "run_beside", spy)
    found = delf.dense(image, sizes)
    assert len(used[0]) == len(sizes)
    torch.set_num_threads(1)
    for maps, alone in zip(found, delf.dense(image, sizes), strict=True):
        np.testing.assert_array_equal(maps.attention, alone.attention)
        assert torch.equal(maps.features, alone.features)
