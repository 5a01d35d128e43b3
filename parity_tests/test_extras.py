# SPDX-License-Identifier: Apache-2.0
"""What only some tasks need is in an extra, and its absence is one clear line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from delf_common.extras import EXTRAS

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys
from delf_common.cli.main import main
from delf_common.matching.drawing import font
assert font(13).getlength("delf") > 10
sys.exit(main(sys.argv[1:]))
"""


def test_every_extra_is_one_of_the_project_and_no_dependency_of_all():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.search(r"^dependencies = \[(.*?)^\]", text, re.M | re.S)[1]
    for distribution, extra, _ in EXTRAS.values():
        listed = re.search(rf"^{extra} = \[(.*?)\]", text, re.M | re.S)[1]
        assert f'"{distribution}>=' in listed
        assert distribution not in needed
    for framework in ("torch", "ms"):
        listed = re.search(rf"^{framework} = \[(.*?)\]$", text, re.M | re.S)[1]
        assert "delf-retrieval[train,demo,faiss]" in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "{}/demo"], "scikit-image, which is not installed"),
        (["dataset", "inspect", "{}/classes"], "matplotlib, which is not installed"),
        (
            "build-dataset --dataset_path {}/classes --output_directory {}/s".split(),
            "array-record, which is not installed",
        ),
    ],
)
def test_a_missing_package_names_the_extra(tmp_path, arguments, message):
    from delf_common.demo import write_jpeg

    noise = __import__("numpy").zeros((40, 40, 3), "uint8")
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"):
        write_jpeg(tmp_path / "classes" / name, noise)
    given = [argument.format(tmp_path) for argument in arguments]
    folders = [str(ROOT), str(ROOT / "parity_tests" / "blocking")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(folders),
            "DELF_TESTS_BLOCK": ",".join([*EXTRAS, "torch", "mindspore", "faiss"]),
        },
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert message in done.stderr and 'pip install ".[' in done.stderr
    assert "Traceback" not in done.stderr
