# SPDX-License-Identifier: Apache-2.0
"""``pytest --block=torch`` hides a package that is there, in child processes too."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "blocking"

PROGRAM = """
import importlib.metadata, importlib.util, subprocess, sys
assert importlib.util.find_spec("json") and importlib.util.find_spec("colorsys") is None
assert importlib.metadata.version("numpy")
try:
    import colorsys
except ModuleNotFoundError as error:
    print(error)
if sys.argv[1:]:
    program = open(sys.argv[1]).read()
    subprocess.run([sys.executable, "-c", program], check=True)
"""


def test_a_blocked_package_is_not_there_and_the_rest_is(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = os.environ | {
        "PYTHONPATH": str(FOLDER),
        "DELF_TESTS_BLOCK": "colorsys",
    }
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py", tmp_path / "program.py"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout == "No module named 'colorsys'\n" * 2
