# SPDX-License-Identifier: Apache-2.0
"""What is in the wheel, and what is not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IN_THE_WHEEL = {"delf_common", "delf_mindir", "delf_ms", "delf_onnx", "delf_torch"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the tracked files."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so which files belong to it is unknown")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run(
        [*command, "--outdir", str(folder), str(source)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_only_the_packages_are_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == IN_THE_WHEEL


def test_every_module_weights_and_markers_are_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in IN_THE_WHEEL
        for pattern in ("*.py", "py.typed", "*.safetensors")
        for path in (ROOT / package).rglob(pattern)
    }
    assert expected <= names
    assert "delf_common/weights/embedded/delf-lite0.safetensors" in names


def test_tools_and_tests_cannot_be_imported_from_an_installed_wheel(wheel, tmp_path):
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    program = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import importlib.util as u\n"
        "assert u.find_spec('delf_common').origin.startswith(sys.path[0])\n"
        "print([n for n in ('tools', 'parity_tests') if u.find_spec(n)])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == "[]"


def test_the_licence_is_apache_and_in_the_wheel(wheel):
    archive = zipfile.ZipFile(wheel)
    name = next(n for n in archive.namelist() if n.endswith("/LICENSE"))
    assert b"Apache License" in archive.read(name)
    metadata = next(n for n in archive.namelist() if n.endswith("/METADATA"))
    assert b"License-Expression: Apache-2.0" in archive.read(metadata)
