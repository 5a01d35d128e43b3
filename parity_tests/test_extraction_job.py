# SPDX-License-Identifier: Apache-2.0
"""Extraction jobs: order, broken pictures, resuming, kill -9, several devices."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import fake_network
import numpy as np
import pytest
from PIL import Image as PillowImage

from delf_common.config import ExtractConfig, JobConfig
from delf_common.errors import DelfError, ImageError, UsageError
from delf_common.extraction import job as job_module
from delf_common.extraction import processes
from delf_common.extraction.batches import Decoded, decode_ahead, group_by_shape
from delf_common.extraction.job import (
    ExtractionJob,
    JobSummary,
    find_journals,
    journal_path,
    run_job,
)
from delf_common.io.feature_file import FeatureReader
from delf_common.io.image_list import ImageEntry, list_images
from delf_common.io.journal import Journal

SMALL = ExtractConfig(image_scales=(1.0, 0.5), max_feature_num=20)


class CountingNetwork(fake_network.FakeNetwork):
    """Remembers how many pictures it saw, and can die at one of them."""

    def __init__(self):
        self.seen, self.dies_at = 0, None

    def dense(self, images, sizes):
        self.seen += len(images)
        if self.dies_at is not None and self.seen >= self.dies_at:
            raise KeyboardInterrupt
        return super().dense(images, sizes)


@pytest.fixture
def network(monkeypatch):
    """A fake network behind every backend's name."""
    made = CountingNetwork()

    class Backend:
        @staticmethod
        def load_network(weights, device):
            return made

    monkeypatch.setattr(job_module, "load_backend", lambda name: Backend)
    return made


def save_pictures(folder, count, seed=0, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        shape = [(48, 64, 3), (64, 48, 3)][i % 2]
        pixels = rng.integers(0, 256, shape, np.uint8)
        PillowImage.fromarray(pixels).save(folder / f"{seed}_{i:02}{suffix}")


@pytest.fixture
def pictures(tmp_path):
    """Seven pictures of two shapes, one of them in a folder, and a broken one."""
    folder = tmp_path / "pictures"
    save_pictures(folder, 6)
    save_pictures(folder / "below", 1, seed=1)
    (folder / "0_02b.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return folder


def make_job(pictures, output, **options):
    changes = {
        name: options.pop(name) for name in ("config", "dtype") if name in options
    }
    entries = list_images([str(pictures)])
    job = ExtractionJob(entries, output, config=SMALL, job=JobConfig(**options))
    return replace(job, **changes)


def test_every_picture_is_extracted_and_a_broken_one_recorded(
    pictures, network, tmp_path
):
    output = tmp_path / "new folder" / "features.h5"
    summary = run_job(make_job(pictures, output))
    assert (summary.new, summary.before) == (8, 0) and network.seen == 7
    assert list(summary.errors) == ["0_02b.jpg"]
    with FeatureReader(output) as reader:
        assert reader.names() == sorted(
            ["below/1_00.png", *(f"0_{i:02}.png" for i in range(6))]
        )
        assert "0_02b.jpg" in reader.errors()["0_02b.jpg"]
        assert reader.dimension == 192 and reader.descriptor_dtype == "float16"
        assert reader.info["weights"] == "fake"
        assert "adds_to_earlier_file" not in reader.info
        features = reader.read("below/1_00.png")
        assert len(features) == 20 and features.image_size == (64, 48)
    assert [path.name for path in output.parent.iterdir()] == ["features.h5"]


def test_features_are_those_of_the_extractor(pictures, network, tmp_path):
    from delf_common.extraction.extractor import extract

    run_job(make_job(pictures, tmp_path / "f.h5", dtype="float32", batch_size=3))
    [alone] = extract([pictures / "0_03.png"], network, SMALL)
    with FeatureReader(tmp_path / "f.h5") as reader:
        stored = reader.read("0_03.png")
    for name in ("keypoints", "descriptors", "scores", "scales"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(alone, name))


def test_bytes_do_not_depend_on_batches_or_workers(pictures, network, tmp_path):
    made = set()
    for batch_size, workers in [(1, 0), (1, 3), (3, 0), (3, 3), (100, 1)]:
        output = tmp_path / f"{batch_size}_{workers}.h5"
        run_job(make_job(pictures, output, batch_size=batch_size, workers=workers))
        made.add(output.read_bytes())
    assert len(made) == 1


def test_strict_stops_at_a_broken_picture_and_keeps_the_journal(
    pictures, network, tmp_path
):
    output = tmp_path / "f.h5"
    with pytest.raises(ImageError, match=r"0_02b\.jpg.*--strict"):
        run_job(make_job(pictures, output, strict=True))
    assert not output.exists()
    assert Journal.recover(journal_path(output, 0)) == {
        f"0_{i:02}.png" for i in range(3)
    }
    summary = run_job(make_job(pictures, output, resume=True))
    assert (summary.new, summary.before) == (5, 3) and network.seen == 7


def test_strict_finds_a_picture_that_an_earlier_run_skipped(
    pictures, network, tmp_path
):
    run_job(make_job(pictures, tmp_path / "f.h5"))
    with pytest.raises(ImageError, match="0_02b"):
        run_job(make_job(pictures, tmp_path / "f.h5", resume=True, strict=True))


def test_strict_finds_a_picture_that_an_interrupted_run_skipped(
    pictures, network, tmp_path
):
    network.dies_at = 5
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(pictures, tmp_path / "f.h5"))
    network.dies_at = None
    with pytest.raises(ImageError, match="0_02b"):
        run_job(make_job(pictures, tmp_path / "f.h5", resume=True, strict=True))


def test_a_repaired_picture_is_extracted_on_resuming(pictures, network, tmp_path):
    run_job(make_job(pictures, tmp_path / "f.h5"))
    (pictures / "0_02b.jpg").write_bytes((pictures / "0_02.png").read_bytes())
    summary = run_job(make_job(pictures, tmp_path / "f.h5", resume=True))
    assert (summary.new, summary.before, summary.errors) == (1, 7, {})
    with FeatureReader(tmp_path / "f.h5") as reader:
        assert "0_02b.jpg" in reader.names() and reader.errors() == {}


@pytest.mark.parametrize("batch_size", [1, 2])
def test_an_interrupted_job_resumes_to_the_same_bytes(
    pictures, network, tmp_path, batch_size
):
    whole, output = tmp_path / "whole.h5", tmp_path / "f.h5"
    run_job(make_job(pictures, whole))
    network.seen, network.dies_at = 0, 5
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(pictures, output, batch_size=batch_size))
    kept = len(Journal.recover(journal_path(output, 0)))
    assert kept == 4 and not output.exists()
    network.seen, network.dies_at = 0, None
    summary = run_job(make_job(pictures, output, resume=True))
    assert network.seen == 7 - kept and summary.before == kept
    assert output.read_bytes() == whole.read_bytes()
    assert find_journals(output) == []


def test_a_stale_journal_is_refused_without_being_told(pictures, network, tmp_path):
    output = tmp_path / "f.h5"
    network.dies_at = 3
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(pictures, output))
    network.dies_at = None
    with pytest.raises(DelfError, match=r"--resume.*--overwrite"):
        run_job(make_job(pictures, output))
    assert run_job(make_job(pictures, output, overwrite=True)).before == 0


def test_a_finished_file_is_refused_or_replaced(pictures, network, tmp_path):
    output = tmp_path / "f.h5"
    run_job(make_job(pictures, output))
    with pytest.raises(DelfError, match="already exists"):
        run_job(make_job(pictures, output))
    assert run_job(make_job(pictures, output, overwrite=True)).new == 8


def test_added_pictures_join_a_finished_file(pictures, network, tmp_path):
    output, whole = tmp_path / "f.h5", tmp_path / "whole.h5"
    run_job(make_job(pictures, output))
    save_pictures(pictures, 2, seed=9)
    network.seen = 0
    summary = run_job(make_job(pictures, output, resume=True))
    assert network.seen == 2 and (summary.new, summary.before) == (3, 7)
    run_job(make_job(pictures, whole))
    assert output.read_bytes() == whole.read_bytes()


def test_pictures_that_are_gone_stay_in_a_resumed_file(pictures, network, tmp_path):
    output = tmp_path / "f.h5"
    run_job(make_job(pictures, output))
    (pictures / "0_00.png").unlink()
    (pictures / "0_02b.jpg").unlink()
    summary = run_job(make_job(pictures, output, resume=True))
    assert summary.new == 0 and list(summary.errors) == ["0_02b.jpg"]
    with FeatureReader(output) as reader:
        assert "0_00.png" in reader.names()


def test_an_interrupted_overwrite_does_not_bring_back_the_old_file(
    pictures, network, tmp_path
):
    output, whole = tmp_path / "f.h5", tmp_path / "whole.h5"
    run_job(make_job(pictures, output))
    (pictures / "0_05.png").write_bytes((pictures / "0_01.png").read_bytes())
    network.seen, network.dies_at = 0, 3
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(pictures, output, overwrite=True))
    network.dies_at = None
    run_job(make_job(pictures, output, resume=True))
    run_job(make_job(pictures, whole))
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_before_any_work(
    pictures, network, tmp_path, finished
):
    output = tmp_path / "f.h5"
    network.dies_at = None if finished else 3
    try:
        run_job(make_job(pictures, output))
    except KeyboardInterrupt:
        pass
    save_pictures(pictures, 1, seed=9)
    network.seen, network.dies_at = 0, None
    other = replace(SMALL, max_feature_num=7)
    with pytest.raises(DelfError, match="max_feature_num was 20, is 7"):
        run_job(make_job(pictures, output, resume=True, config=other))
    assert network.seen == 0


def test_half_precision_is_not_passed_off_as_single(pictures, network, tmp_path):
    run_job(make_job(pictures, tmp_path / "f.h5"))
    save_pictures(pictures, 1, seed=9)
    with pytest.raises(DelfError, match="descriptor_dtype was 'float16'"):
        run_job(make_job(pictures, tmp_path / "f.h5", resume=True, dtype="float32"))


def test_a_journal_of_another_device_is_taken_over(pictures, network, tmp_path):
    output, whole = tmp_path / "f.h5", tmp_path / "whole.h5"
    run_job(make_job(pictures, whole))
    network.seen, network.dies_at = 0, 4
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(pictures, output))
    journal_path(output, 0).rename(journal_path(output, 1))
    network.seen, network.dies_at = 0, None
    run_job(make_job(pictures, output, resume=True))
    assert network.seen == 4 and output.read_bytes() == whole.read_bytes()


def test_a_name_that_cannot_be_stored_stops_the_job_at_once(
    pictures, network, tmp_path
):
    job = make_job(pictures, tmp_path / "f.h5")
    odd = ImageEntry("below/keypoints", pictures / "0_00.png")
    with pytest.raises(DelfError, match="below/keypoints"):
        run_job(replace(job, entries=[*job.entries, odd]))
    assert network.seen == 0


def test_a_job_without_pictures_writes_an_empty_file(network, tmp_path):
    summary = run_job(ExtractionJob([], tmp_path / "f.h5"))
    assert summary.new == 0
    with FeatureReader(tmp_path / "f.h5") as reader:
        assert reader.names() == [] and reader.dimension == 192


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"batch_size": 0}, "--batch_size 0"),
        ({"workers": -1}, "--workers -1"),
        ({"resume": True, "overwrite": True}, "--resume and --overwrite"),
    ],
)
def test_wrong_settings_are_named(pictures, network, tmp_path, options, named):
    with pytest.raises(UsageError, match=named):
        run_job(make_job(pictures, tmp_path / "f.h5", **options))


def test_a_folder_as_output_is_refused_before_any_work(pictures, network, tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        run_job(make_job(pictures, tmp_path, overwrite=True))
    assert network.seen == 0


def test_the_summary_counts_and_names(tmp_path):
    assert (
        JobSummary(1, 0, {}, 2.04).describe(tmp_path) == f"{tmp_path}: 1 image in 2.0 s"
    )
    text = JobSummary(3, 2, {"a": "a: the file is empty"}, 1).describe(tmp_path)
    first, second = text.splitlines()
    assert first.endswith(
        "3 images in 1.0 s, 2 already done before, 1 could not be read"
    )
    assert second == "  a: the file is empty"


# Decoding ahead, and batches


def test_decoding_gives_the_input_order_and_stays_bounded(pictures, monkeypatch):
    from delf_common.extraction import batches

    started = []
    decode = batches.decode
    monkeypatch.setattr(
        batches, "decode", lambda *a: (started.append(a[0].key), decode(*a))[1]
    )
    entries = list_images([str(pictures)])
    ahead = decode_ahead(entries, 10**6, workers=3, ahead=2)
    first = next(ahead)
    time.sleep(0.05)
    assert len(started) <= 3 < len(entries)
    keys = [first.key, *(picture.key for picture in ahead)]
    assert keys == [entry.key for entry in entries] and sorted(started) == sorted(keys)


def test_closing_the_decoder_early_leaves_the_rest_undecoded(pictures, monkeypatch):
    from delf_common.extraction import batches

    decoded = []
    monkeypatch.setattr(
        batches, "decode", lambda entry, _, timed: decoded.append(entry.key)
    )
    ahead = decode_ahead(list_images([str(pictures)]), 10**6, workers=1, ahead=2)
    next(ahead)
    ahead.close()
    assert len(decoded) < 8


def decoded(key, side):
    return Decoded(key, np.zeros((side, side, 3), np.uint8) if side else None)


def test_pictures_of_one_shape_travel_together():
    sides = [8, 9, 8, 0, 9, 8]
    batches = group_by_shape([decoded(str(i), s) for i, s in enumerate(sides)], 2)
    assert [[p.key for p in b] for b in batches] == [
        ["0", "2"],
        ["3"],
        ["1", "4"],
        ["5"],
    ]


def test_pictures_of_many_shapes_do_not_pile_up():
    taken = []

    def source():
        for i in range(40):
            taken.append(i)
            yield decoded(str(i), i + 1)

    given = 0
    for batch in group_by_shape(source(), 2):
        given += len(batch)
        assert len(taken) - given < 8
    assert given == 40


# Processes


def work_on(number, progress):
    assert os.environ.get("OMP_WAIT_POLICY") == "PASSIVE"
    assert os.environ.get("OMP_NUM_THREADS") == "3"
    progress(number)
    if number == 2:
        raise ImageError("a.jpg: broken")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        raise OSError(28, "No space left on device")


def test_processes_report_progress_and_keep_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    seen = []
    processes.run_in_processes(work_on, [(0,), (1,)], seen.append)
    assert sorted(seen) == [0, 1] and "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.parametrize(
    ("number", "error", "named"),
    [
        (2, ImageError, "^a.jpg: broken$"),
        (3, DelfError, "exit code -9.*--resume"),
        (4, DelfError, "No space left"),
    ],
)
def test_a_failing_process_stops_the_job_with_its_reason(
    number, error, named, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with pytest.raises(error, match=named):
        processes.run_in_processes(work_on, [(1,), (number,)], lambda count: None)


# The real network, in processes that are really killed


def delf_extract(pictures, output, *options):
    command = [sys.executable, "-m", "delf_common.cli.main", "extract", str(pictures)]
    wanted = ["--output", str(output), "--image_scales", "1.0", "--workers", "0"]
    return [*command, *wanted, *options]


def run_extract(pictures, output, *options):
    command = delf_extract(pictures, output, *options)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Twelve pictures, and their features extracted without a break on one CPU."""
    pytest.importorskip("torch", reason="a real extraction needs the torch backend")
    folder = tmp_path_factory.mktemp("killed")
    for i in range(12):
        small = np.random.default_rng(i).integers(0, 256, (8, 10, 3), np.uint8)
        picture = PillowImage.fromarray(small).resize((320, 256))
        picture.save(folder / f"{i:02}.png")
    whole = folder / "whole.h5"
    run_extract(folder, whole, "--device", "cpu")
    return folder, whole


def test_a_job_killed_by_sigkill_resumes_to_the_same_bytes(photographs, tmp_path):
    folder, whole = photographs
    output = tmp_path / "f.h5"
    command = delf_extract(folder, output, "--device", "cpu")
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = journal_path(output, 0)
    deadline = time.monotonic() + 60
    while not journal.exists() or len(Journal.recover(journal)) < 2:
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    finished = len(Journal.recover(journal))
    assert 2 <= finished < 12 and not output.exists()
    said = run_extract(folder, output, "--device", "cpu", "--resume", "true")
    counts = re.search(r": (\d+) images? in .* s, (\d+) already done before", said)
    assert counts.groups() == (str(12 - finished), str(finished))
    assert output.read_bytes() == whole.read_bytes()


def test_two_cpu_workers_give_the_bytes_of_one(photographs, tmp_path):
    folder, whole = photographs
    run_extract(folder, tmp_path / "f.h5", "--device", "cpu,cpu")
    assert (tmp_path / "f.h5").read_bytes() == whole.read_bytes()
