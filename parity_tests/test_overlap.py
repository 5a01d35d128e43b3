# SPDX-License-Identifier: Apache-2.0
"""What follows the network runs behind it, and changes nothing."""

import threading

import fake_network
import numpy as np
import pytest
from PIL import Image as PillowImage

from delf_common.config import ExtractConfig, JobConfig
from delf_common.errors import DelfError
from delf_common.extraction import job as job_module
from delf_common.extraction.background import Background
from delf_common.extraction.job import ExtractionJob, journal_path, run_job
from delf_common.io.image_list import list_images
from delf_common.io.journal import Journal

PATIENCE = 20  # seconds until a test that hangs fails


@pytest.fixture
def pictures(tmp_path):
    """Six pictures of two shapes, the fourth of them broken."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = rng.integers(0, 256, [(48, 64, 3), (64, 48, 3)][i % 2], np.uint8)
        PillowImage.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"broken")
    return folder


@pytest.fixture
def use(monkeypatch):
    """Put a network behind every backend's name."""

    def put(network):
        class Backend:
            @staticmethod
            def load_network(weights, device):
                return network

        monkeypatch.setattr(job_module, "load_backend", lambda name: Backend)

    return put


def make_job(pictures, output, **options):
    config = ExtractConfig(image_scales=(1.0, 0.5), max_feature_num=20)
    entries = list_images([str(pictures)])
    return ExtractionJob(entries, output, config=config, job=JobConfig(**options))


class Maps(fake_network.FakeMaps):
    """Maps whose rows are asked for through a function."""

    gathering = None

    def gather(self, image, cells):
        self.gathering()
        return super().gather(image, cells)


class Network(fake_network.FakeNetwork):
    """Counts its calls, and tells when maps are looked at."""

    def __init__(self, gathering):
        self.calls, self.gathering = 0, gathering
        self.called = threading.Event()

    def dense(self, images, sizes):
        self.calls += 1
        if self.calls == 2:
            self.called.set()
        maps = [Maps(level.features) for level in super().dense(images, sizes)]
        for level in maps:
            level.gathering = self.gathering
        return maps


def test_the_network_goes_on_while_the_batch_before_is_described(
    pictures, use, tmp_path
):
    def wait_for_the_next():
        assert network.called.wait(PATIENCE)  # in one thread it would never come

    network = Network(wait_for_the_next)
    use(network)
    run_job(make_job(pictures, tmp_path / "f.h5"))
    assert network.calls == 5


def test_a_failure_behind_the_network_stops_the_job_with_its_own_words(
    pictures, use, tmp_path
):
    def fail_at_the_second():
        if network.calls >= 2:
            raise DelfError("the disk is full of snow")

    network = Network(fail_at_the_second)
    use(network)
    with pytest.raises(DelfError, match="full of snow"):
        run_job(make_job(pictures, tmp_path / "f.h5"))
    assert not (tmp_path / "f.h5").exists() and network.calls <= 3
    kept = Journal.recover(journal_path(tmp_path / "f.h5", 0))
    assert kept <= {"0.png"}  # and nothing behind the picture that failed


@pytest.mark.parametrize("batch_size", [1, 2])
def test_any_number_of_workers_writes_the_same_journal(
    pictures, use, tmp_path, batch_size, monkeypatch
):
    journals = []

    def keep(output, order, paths, **rest):
        journals.append([path.read_bytes() for path in paths])
        return {}

    use(fake_network.FakeNetwork())
    monkeypatch.setattr(job_module, "write_feature_file", keep)
    for workers in (0, 1, 2, 5):
        output = tmp_path / f"{workers}.h5"
        run_job(make_job(pictures, output, workers=workers, batch_size=batch_size))
    assert len(journals[0][0]) > 1000
    assert all(journal == journals[0] for journal in journals)


def test_calls_come_in_order_and_none_after_one_that_failed():
    done = []
    with pytest.raises(ValueError, match="second"), Background() as behind:
        behind.run(lambda: done.append("first"))
        behind.run(lambda: int("second"))
        behind.run(lambda: done.append("third"))
    assert done == ["first"]


def test_the_end_of_the_block_waits_and_raises():
    done = []
    with pytest.raises(ValueError, match="last"), Background() as behind:
        behind.run(lambda: int("last"))
    with Background() as behind:
        behind.run(lambda: done.append("waited"))
    assert done == ["waited"]


def test_an_error_of_the_caller_lets_the_call_under_way_finish():
    done = []
    with pytest.raises(KeyError), Background() as behind:
        behind.run(lambda: done.append("whole"))
        raise KeyError
    assert done == ["whole"]


def test_one_output_is_one_jobs_and_the_lock_goes_with_it(pictures, use, tmp_path):
    output = tmp_path / "new" / "f.h5"
    refusals = []

    def run_a_second():
        if not refusals:
            with pytest.raises(DelfError, match=r"another delf extract writes .*f\.h5"):
                run_job(make_job(pictures, output, resume=True))
            refusals.append("refused")

    use(Network(run_a_second))
    run_job(make_job(pictures, output))
    assert refusals == ["refused"]
    assert [path.name for path in output.parent.iterdir()] == ["f.h5"]
    run_job(make_job(pictures, output, resume=True))


def test_a_lock_left_by_a_killed_job_is_taken_over(pictures, use, tmp_path):
    use(fake_network.FakeNetwork())
    (tmp_path / "f.h5.lock").touch()
    run_job(make_job(pictures, tmp_path / "f.h5"))
    assert not (tmp_path / "f.h5.lock").exists()
