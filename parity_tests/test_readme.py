# SPDX-License-Identifier: Apache-2.0
"""The READMEs say the same in both languages, and their commands exist."""

import re
import shlex
from pathlib import Path

import pytest

from delf_common.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README_CN.md").read_text(encoding="utf-8")


def blocks(text, language=""):
    """Code blocks of a language, in order; "" for those that name none."""
    found, inside = [], None
    for line in text.splitlines():
        if line.startswith("```"):
            if inside is None:
                inside = line[3:]
                found.append((inside, []))
            else:
                inside = None
        elif inside is not None:
            found[-1][1].append(line)
    return ["\n".join(lines) for name, lines in found if name == language]


def commands(text):
    """Every command line that begins with delf, in code blocks and in backticks."""
    lines = [line for block in blocks(text) for line in block.splitlines()]
    lines += re.findall(r"`(delf [^`]+)`", text)
    cut = (line.removesuffix("&&").strip() for line in lines)
    return [line for line in cut if line.startswith("delf ") and "--help" not in line]


def figures(text):
    """Rows of tables that hold a measured figure, as their numbers."""
    section = text.split("\n## ")[2]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [re.findall(r"\d+(?:\.\d+)?", row) for row in rows]


def test_both_languages_have_the_same_commands_and_figures():
    assert blocks(ENGLISH)[0] == blocks(CHINESE)[0]
    assert blocks(ENGLISH)[-1] == blocks(CHINESE)[-1]
    assert commands(ENGLISH) == commands(CHINESE)
    assert figures(ENGLISH) == figures(CHINESE)
    assert len(figures(ENGLISH)) > 20


def test_the_python_programs_differ_in_comments_only():
    english, chinese = (
        [line.split("#")[0].rstrip() for line in blocks(text, "python")[0].splitlines()]
        for text in (ENGLISH, CHINESE)
    )
    assert english == chinese


@pytest.mark.parametrize("line", sorted(set(commands(ENGLISH))))
def test_every_command_of_the_readme_is_understood(line):
    import importlib

    _, name, *arguments = shlex.split(line)
    assert name in COMMANDS
    importlib.import_module("delf_common.cli." + name.replace("-", "_")).parser().parse(
        arguments
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_example_in_a_command_s_help_is_understood(name, capsys):
    import importlib

    assert main([name, "--help"]) == 0
    help_text = " ".join(capsys.readouterr().out.split())
    example = help_text.rpartition("example: ")[2]
    for part in example.split(" && "):
        _, command, *arguments = shlex.split(part)
        importlib.import_module(
            "delf_common.cli." + command.replace("-", "_")
        ).parser().parse(arguments)


def test_pictures_and_files_that_the_readmes_name_exist():
    for text in (ENGLISH, CHINESE):
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in link:
                assert (ROOT / link).exists(), link
