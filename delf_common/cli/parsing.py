# SPDX-License-Identifier: Apache-2.0
"""Dataclasses into flags and YAML keys, and a namespace back into dataclasses."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any, NoReturn, TypeVar, get_args, get_type_hints

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from delf_common.errors import UsageError

__all__ = ["CommandParser", "Namespace", "NetworkOptions", "build"]

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """Which network computes the features.

    Args:
        backend: "torch", "ms" (MindSpore), "onnx" (onnxruntime) or "mindir" (MindSpore
            or MindSpore Lite).
        device: "auto", "cpu", "cuda:N", "ascend:N"; several, separated by commas, run a
            process for each.
        weights: name of embedded weights, or path of a canonical checkpoint; for "onnx"
            and "mindir" path of an exported file.
    """

    backend: str = "torch"
    device: str = "auto"
    weights: str = "delf-lite0"


class CommandParser(ArgumentParser):
    """A parser for one subcommand, fed by dataclasses."""

    def __init__(self, command: str, description: str, example: str) -> None:
        super().__init__(
            prog=f"delf {command}",
            description=description,
            epilog=f"example: {example}",
            allow_abbrev=False,
            add_help=True,
        )
        self._optional: set[str] = set()
        self._lists: set[str] = set()
        self._switches: set[str] = set()
        self.add_argument(
            "--config",
            action=ActionConfigFile,
            help="YAML file with any of the options",
        )
        self.add_argument(
            "--log_level",
            choices=["warning", "debug"],
            default="warning",
            help='"debug" also shows what the framework itself logs',
        )

    def add_config(self, config: type, skip: Collection[str] = ()) -> None:
        """Add a flag for every field of a dataclass of settings, but those to skip."""
        self.add_class_arguments(config, fail_untyped=True, skip=set(skip))
        for name, hint in get_type_hints(config).items():
            if type(None) in get_args(hint):
                self._optional.add(f"--{name}")
            if getattr(hint, "__origin__", None) is tuple:
                self._lists.add(f"--{name}")
            if hint is bool:
                self._switches.add(f"--{name}")

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Parse; also accept none, a bare switch, and 1,2,3 for a list.

        Returns:
            The options, and as ``given`` the names of those that are not defaults.

        Raises:
            UsageError: a flag or a value is wrong; names the nearest flag.
        """
        plain = self._plain(list(arguments))
        options = self.parse_args(plain)
        options.given = frozenset(self.parse_args(plain, defaults=False).keys())
        return options

    def _plain(self, arguments: list[str]) -> list[str]:
        pieces: list[str] = []
        for argument in arguments:
            flag, equals, value = argument.partition("=")
            known = self._optional | self._lists
            pieces += [flag, value] if equals and flag in known else [argument]
        for i in range(1, len(pieces)):
            if pieces[i - 1] in self._optional and pieces[i].lower() == "none":
                pieces[i] = "null"
            if pieces[i - 1] in self._lists and not pieces[i].startswith("["):
                pieces[i] = f"[{pieces[i]}]"
        return self._complete_switches(pieces)

    def _complete_switches(self, pieces: list[str]) -> list[str]:
        """Let ``--resume`` alone mean ``--resume true``."""
        complete: list[str] = []
        for piece, following in zip(pieces, [*pieces, ""][1:], strict=True):
            complete.append(piece)
            if piece in self._switches and following.lower() not in ("true", "false"):
                complete.append("true")
        return complete

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise with the message in one line, and the flag that was probably meant."""
        text = " ".join(str(message).split())
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        unknown = text.removeprefix("unrecognized arguments: ").split(" ")[0]
        if unknown != text.split(" ")[0]:
            near = difflib.get_close_matches(unknown.split("=")[0], flags, n=1)
            text += f" (did you mean {near[0]}?)" if near else ""
        key = re.match(r"Option '(\w+)' is not accepted", text)
        if key:
            near = difflib.get_close_matches(f"--{key[1]}", flags, n=1)
            text += f" (did you mean {near[0][2:]}?)" if near else ""
        required, colon, names = text.partition("arguments are required: ")
        if colon:
            listed = (f"--{n}" if f"--{n}" in flags else n for n in names.split(", "))
            text = required + colon + ", ".join(listed)
        raise UsageError(f"{text}; see {self.prog} --help")


def build(config: type[Config], options: Namespace) -> Config:
    """Make the dataclass from the flags that bear its fields' names."""
    names = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    values: dict[str, Any] = {name: getattr(options, name) for name in names}
    return config(**values)
