# SPDX-License-Identifier: Apache-2.0
"""The neutral half stands alone: no framework is imported, whatever runs in it."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

PROGRAM = """
import importlib, pkgutil, sys, tempfile
from pathlib import Path
import numpy as np
import delf_common

for module in pkgutil.walk_packages(delf_common.__path__, "delf_common."):
    importlib.import_module(module.name)
    for framework in ("torch", "mindspore"):
        assert framework not in sys.modules, (module.name, framework)

from fake_network import FakeNetwork
from delf_common.config import ExtractConfig, MatchConfig
from delf_common.extraction.extractor import extract
from delf_common.matching.matcher import match
from delf_common.retrieval.index import Index, write_index
from delf_common.retrieval.search import search

rng = np.random.default_rng(0)
scene = rng.integers(0, 256, (160, 200, 3), np.uint8)
other = rng.integers(0, 256, (160, 200, 3), np.uint8)
moved = np.roll(scene, (16, 24), (0, 1))
config = ExtractConfig(image_scales=(1.0,))
features = extract([scene, moved, other], FakeNetwork(), config)
found = match(features[0], features[1])
assert found.verification.num_inliers > 100, found.verification.num_inliers
np.testing.assert_allclose(
    found.verification.model, [[1, 0, 24], [0, 1, 16], [0, 0, 1]], atol=1e-3
)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "places.index"
    write_index(path, zip(["moved", "other"], features[1:]), {}, 192)
    with Index(path) as index:
        ranked = search(index, features[0])
assert [result.name for result in ranked] == ["moved", "other"], ranked
assert ranked[0].inliers > 100 > 10 > ranked[1].inliers, ranked
assert not {"torch", "mindspore"} & set(sys.modules)
print("alone")
"""


def test_the_neutral_half_runs_end_to_end_without_a_framework():
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "alone"
