# SPDX-License-Identifier: Apache-2.0
"""Reads protobuf's text format (``.pbtxt``) without protobuf and without a schema.

Only what configuration files use: fields, nested messages, numbers, words, quoted text,
lists in brackets, comments.

Source: protobuf.dev/reference/protobuf/textformat-spec.
"""

from __future__ import annotations

import ast
import re
from typing import Union

from delf_common.errors import DelfError

Message = dict[str, list[Union[str, float, bool, "Message"]]]
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>[-+]?[\w.]+(?:[-+]\d+)?)|(?P<mark>[{}<>\[\]:;,])"""
)
_CLOSING = {"{": "}", "<": ">"}
DEPTH = 20


def parse_text_proto(text: str) -> Message:
    """Turn a text message into a dictionary of lists, since any field may be repeated.

    Numbers become floats, true and false booleans, everything else text. An empty text
    is an empty message.

    Raises:
        DelfError: the text is no such message; the line is named.
    """
    reader = _Reader(text)
    message = reader.message("", 0)
    return message


class _Reader:
    """Walks over the tokens of a text."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            line = text.count("\n", 0, at) + 1
            if not found:
                raise DelfError(f"line {line}: {text[at]!r} has no place here")
            if found.lastgroup:
                self.tokens.append((found.lastgroup, found[0], line))
            at = found.end()
        self.at = 0

    def message(self, end: str, depth: int) -> Message:
        """Fields up to the closing mark, or to the text's end."""
        if depth > DEPTH:
            raise DelfError(f"messages are nested deeper than {DEPTH}")
        fields: Message = {}
        while self.at < len(self.tokens):
            kind, token, line = self._next()
            if token == end:
                return fields
            if token in (";", ","):
                continue
            if kind != "word":
                raise DelfError(f"line {line}: {token!r} stands where a name should")
            fields.setdefault(token, []).extend(self._values(depth))
        if end:
            raise DelfError(f"the text ends before {end!r}")
        return fields

    def _values(self, depth: int) -> list[str | float | bool | Message]:
        kind, token, line = self._next()
        if token == ":":
            kind, token, line = self._next()
        if token in _CLOSING:
            return [self.message(_CLOSING[token], depth + 1)]
        if token == "[":
            return self._list(depth)
        if kind == "mark":
            raise DelfError(f"line {line}: {token!r} stands where a value should")
        value = _value(kind, token)
        while isinstance(value, str) and kind == "text" and self._peek() == "text":
            value += str(_value("text", self._next()[1]))
        return [value]

    def _list(self, depth: int) -> list[str | float | bool | Message]:
        values: list[str | float | bool | Message] = []
        while self.at < len(self.tokens):
            if self.tokens[self.at][1] in ("]", ","):
                if self._next()[1] == "]":
                    return values
                continue
            values += self._values(depth)
        raise DelfError("the text ends before ']'")

    def _peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def _next(self) -> tuple[str, str, int]:
        if self.at == len(self.tokens):
            raise DelfError("the text ends inside a field")
        self.at += 1
        return self.tokens[self.at - 1]


def _value(kind: str, token: str) -> str | float | bool:
    if kind == "text":
        return str(ast.literal_eval(token))  # the same escapes as a Python literal's
    if token in ("true", "false"):
        return token == "true"
    try:
        return float(token)
    except ValueError:
        return token
