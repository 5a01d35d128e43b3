# SPDX-License-Identifier: Apache-2.0
"""The command line: light, strict, and helpful about mistakes."""

import subprocess
import sys

import pytest

from delf_common.cli.main import COMMANDS, main

HEAVY = {"torch", "mindspore", "numpy", "cv2", "h5py", "matplotlib", "faiss", "skimage"}


def delf(*arguments):
    """Run in a fresh interpreter; return exit code, output, error, heavy imports."""
    program = (
        "import sys; from delf_common.cli.main import main; code = main(sys.argv[1:]); "
        "print('IMPORTED', *sorted(set(sys.modules) & " + repr(HEAVY) + ")); "
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    output, _, imported = done.stdout.rpartition("IMPORTED")
    return done.returncode, output, done.stderr, imported.split()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_the_overview_imports_nothing_heavy(arguments):
    code, output, error, imported = delf(*arguments)
    assert code == 0 and "delf" in output and not error and not imported


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_with_an_example_and_imports_nothing_heavy(command):
    code, output, _, imported = delf(command, "--help")
    assert code == 0 and f"example: delf {command}" in " ".join(output.split())
    assert not imported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serach"], 'did you mean "delf search"?'),
        (["match", "a.jpg", "b.jpg", "--ouput", "m.png"], "did you mean --output?"),
        (["extract", "photos"], "--output"),
        (["extract", "p", "--output", "f.h5", "--max_feature_num", "many"], "many"),
        (["match", "--model", "spline", "a.jpg", "b.jpg"], "spline"),
        (["match", "a.jpg", "b.jpg", "--mutual", "perhaps"], "perhaps"),
    ],
)
def test_a_wrong_call_exits_with_2_one_line_and_nothing_heavy(arguments, message):
    code, output, error, imported = delf(*arguments)
    assert code == 2 and message in error and not output
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not imported


def test_no_command_at_all_shows_the_overview_and_exits_with_2(capsys):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_one_photograph_is_a_wrong_call(capsys):
    assert main(["match", "a.jpg"]) == 2
    assert "give two" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--verify_top", "--block_rows"])
def test_a_negative_count_is_refused_before_the_index_is_opened(flag, capsys):
    assert main(["search", "no.index", "q.jpg", flag, "-1"]) == 2
    assert f"{flag} -1" in capsys.readouterr().err


def test_a_missing_photograph_is_a_failed_run_without_a_traceback(tmp_path, capsys):
    missing = str(tmp_path / "missing.jpg")
    assert main(["match", missing, missing]) == 1
    assert "missing.jpg" in capsys.readouterr().err


def test_an_unknown_backend_is_named(tmp_path, capsys):
    import numpy as np

    from delf_common.demo import write_jpeg

    picture = tmp_path / "a.jpg"
    write_jpeg(picture, np.zeros((32, 32, 3), np.uint8))
    code = main(["match", str(picture), str(picture), "--backend", "tensorflow"])
    assert code == 2 and "tensorflow" in capsys.readouterr().err


def test_settings_come_from_a_yaml_file_and_flags_override_it(tmp_path):
    from delf_common.cli.extract import parser
    from delf_common.cli.parsing import build
    from delf_common.config import ExtractConfig

    path = tmp_path / "settings.yaml"
    path.write_text("max_feature_num: 300\nimage_scales: [0.5, 1.0]\n")
    options = parser().parse(
        ["p", "--output", "f.h5", "--config", str(path), "--max_feature_num", "200"]
    )
    config = build(ExtractConfig, options)
    assert config.max_feature_num == 200 and config.image_scales == (0.5, 1.0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--resume"], (True, False)),
        (["--resume", "--strict"], (True, True)),
        (["--resume", "false", "--strict", "true"], (False, True)),
        (["--resume=true"], (True, False)),
        ([], (False, False)),
    ],
)
def test_a_bare_switch_is_true_and_may_have_a_value(arguments, expected):
    from delf_common.cli.extract import parser
    from delf_common.cli.parsing import build
    from delf_common.config import JobConfig

    call = ["--output", "f.h5", *arguments, "photos"]
    options = build(JobConfig, parser().parse(call))
    assert (options.resume, options.strict) == expected


def test_none_switches_an_optional_setting_off():
    from delf_common.cli.match import parser
    from delf_common.cli.parsing import build
    from delf_common.config import MatchConfig

    off = parser().parse(["a", "b", "--distance_threshold", "none"])
    assert build(MatchConfig, off).distance_threshold is None
    off = parser().parse(["a", "b", "--distance_threshold=none"])
    assert build(MatchConfig, off).distance_threshold is None


def test_a_backend_that_is_not_there_says_so(monkeypatch):
    import importlib.util

    from delf_common.backends import FRAMEWORKS, load_backend
    from delf_common.errors import DelfError

    real = importlib.util.find_spec
    absent = {"torch", "delf_ms"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in absent else real(name)
    )
    monkeypatch.setitem(FRAMEWORKS, "ms", "json")
    with pytest.raises(DelfError, match=r'pip install "\.\[torch\]"') as caught:
        load_backend("torch")
    assert "use what is: --backend ms" in str(caught.value)
    with pytest.raises(DelfError, match="not part of this version"):
        load_backend("ms")
