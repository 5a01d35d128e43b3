# SPDX-License-Identifier: Apache-2.0
"""Every command that takes ``--backend ms``, where torch may be missing."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from golden_cases import views

pytest.importorskip("mindspore")

from delf_common import backends
from delf_common.cli.main import main
from delf_common.demo import ground_truth, write_jpeg

FAST = ["--image_scales", "0.7071,1", "--max_feature_num", "200"]
MS = ["--backend", "ms", *FAST]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six photographs of two places, and the truth about them."""
    made = tmp_path_factory.mktemp("ms")
    pictures = {n: v for n, v in views().items() if not n.startswith("chelsea")}
    places = {}
    for name, picture in pictures.items():
        write_jpeg(made / f"{name}.jpg", picture)
        places.setdefault(name.split("_")[0], []).append(f"{name}.jpg")
    (made / "gnd.json").write_text(json.dumps(ground_truth(places)))
    return made


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Run a command in an empty working folder; what it printed as JSON."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        assert main([*map(str, arguments)]) == 0, capsys.readouterr().err
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return json.loads(captured.out) if "--json" in arguments else captured.out

    return call


def left_behind(folder):
    return sorted(path.name for path in folder.iterdir())


def test_extract_pca_and_match(run, folder, tmp_path):
    pair = [folder / "coffee_0.jpg", folder / "coffee_1.jpg"]
    run("extract", *pair, "--use_pca", "false", "--output", "f.h5", *MS)
    run("pca", "--features", "f.h5", "--output", "pca", "--pca_dim", "32")
    found = run("match", *pair, *MS, "--pca", "pca", "--json")
    assert found["inliers"] > 20
    run("match", *pair, *MS, "--output", "m.png")
    assert left_behind(tmp_path) == ["f.h5", "m.png", "pca"]


def test_index_search_and_evaluate(run, folder, tmp_path):
    run("index", folder, "--output", "places.h5", *MS)
    query = folder / "astronaut_1.jpg"
    found = run("search", "places.h5", query, "--backend", "ms", "--json")
    names = [row["name"] for row in found["results"][:3]]
    assert sorted(names) == [f"astronaut_{i}.jpg" for i in range(3)]
    truth = ["--ground_truth", folder / "gnd.json", "--index", "places.h5"]
    scores = run("evaluate", *truth, "--backend", "ms", "--json")
    assert scores["setups"]["all"]["mAP"] > 0.9
    assert left_behind(tmp_path) == ["places.h5"]


def test_bench_extract_and_backends_without_torch(run, folder, monkeypatch, tmp_path):
    monkeypatch.setitem(backends.FRAMEWORKS, "torch", "a_package_that_is_not_there")
    small = ["--repeats", "1", "--images", folder / "coffee_0.jpg", *FAST, "--json"]
    assert run("bench", "extract", "--backend", "ms", *small)["bench"] == "extract"
    found = run("bench", "backends", *small)
    assert list(found["runtimes"]) == ["ms", "mindir"]
    assert found["runtimes"]["ms"]["attention"]["absolute"] == 0
    assert left_behind(tmp_path) == []


def test_without_any_framework_bench_backends_says_what_to_install(
    folder, monkeypatch, capsys
):
    for name in ("torch", "ms"):
        monkeypatch.setitem(backends.FRAMEWORKS, name, "a_package_that_is_not_there")
    assert main(["bench", "backends", "--images", str(folder / "coffee_0.jpg")]) == 1
    assert "neither is installed" in capsys.readouterr().err


def test_mindspores_log_is_there_for_debug_and_the_folder_stays_clean(folder, tmp_path):
    # That it is quiet otherwise: test_networks_ms.py.
    environment = {n: v for n, v in os.environ.items() if n not in ("GLOG_v", "MS_JIT")}
    arguments = ["extract", folder / "coffee_0.jpg", "--heatmap", "a.png", *MS]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "delf_common.cli.main",
            *arguments,
            "--log_level",
            "debug",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment | {"OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert "[INFO]" in done.stderr and "Traceback" not in done.stderr
    assert left_behind(tmp_path) == ["a.png"]
    assert np.frombuffer((tmp_path / "a.png").read_bytes(), np.uint8).size > 10_000
