# SPDX-License-Identifier: Apache-2.0
"""The bench of the folder job counts what it says."""

import time

import pytest

from delf_common.bench.job import (
    StageClock,
    fit_growth,
    format_table,
    run_job_bench,
    save_photographs,
)
from delf_common.config import ExtractConfig
from delf_common.extraction.job import ExtractionJob


def test_growth_is_that_of_the_line_behind_the_warm_up():
    grows = [(100, 900.0), *((n, 500 + n / 1024) for n in range(200, 1001, 100))]
    assert fit_growth(grows) == pytest.approx(1)
    assert fit_growth([(100, 1.0)]) is None and fit_growth([]) is None


def test_the_clock_adds_up_a_stage():
    clock = StageClock()
    for _ in range(2):
        with clock.stage("nap"):
            time.sleep(0.01)
    assert clock.wall["nap"] >= 0.02 > clock.processor["nap"]


def test_every_stage_of_a_real_job_is_counted(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("skimage")
    monkeypatch.setattr("delf_common.bench.job.MEMORY_EVERY", 2)
    photographs = save_photographs(tmp_path, 128)
    config = ExtractConfig(image_scales=(1.0,))
    output = tmp_path / "f.h5"
    job = ExtractionJob(photographs, output, devices=("cpu",), config=config)
    result = run_job_bench(job, 5)
    assert result["images"] == 5 and result["image"] == "128x96"
    stages = {"load", "decode", "resize", "network", "wait for device"}
    assert set(result["stages"]) == stages | {"select and describe", "journal", "merge"}
    assert 0 < result["network_share"] < 1
    assert [images for images, _ in result["memory_mib"]] == [2, 4]
    assert result["peak_memory_mib"] >= result["memory_mib"][0][1]
    assert "network" in format_table(result)
