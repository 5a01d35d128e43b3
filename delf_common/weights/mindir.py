# SPDX-License-Identifier: Apache-2.0
"""What a MindIR file says of itself, read and written without MindSpore.

A MindIR file is a protobuf message; its field ``user_info`` holds texts by name, which
MindSpore and MindSpore Lite carry along. The properties of `to_properties` stand
there, and as ``delf.graph`` the sha256 of the graph: MindSpore itself would load a
damaged one.

Source: mindspore/core/proto/mind_ir.proto (ModelProto).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from delf_common.errors import DelfError
from delf_common.io.delf_proto import Value, as_bytes, bytes_field, group_fields

GRAPH, USER_INFO = 7, 14  # fields of ModelProto
NAME, TEXT = 1, 2  # fields of an entry of a map
DIGEST_KEY = "delf.graph"


def add_properties(model: bytes, properties: Mapping[str, str]) -> bytes:
    """Append texts by name, and the graph's digest, to a serialised MindIR."""
    digest = _digest(group_fields(model))
    entries = {**properties, DIGEST_KEY: digest}
    return model + b"".join(
        bytes_field(USER_INFO, bytes_field(NAME, name.encode()) + _text(text))
        for name, text in entries.items()
    )


def read_properties(model: bytes, name: str) -> dict[str, str]:
    """Texts by name of a serialised MindIR, {} for one without any.

    Args:
        model: the file's content.
        name: of the file, for errors.

    Raises:
        DelfError: it is no MindIR, or its graph is not the one that was written.
    """
    try:
        fields = group_fields(model)
        entries = [group_fields(as_bytes(one)) for one in fields.get(USER_INFO, [])]
        texts = {_last(entry, NAME): _last(entry, TEXT) for entry in entries}
    except (DelfError, UnicodeDecodeError) as error:
        raise DelfError(f"{name} is no MindIR file, or damaged: {error}") from None
    if GRAPH not in fields:
        raise DelfError(f"{name} is no MindIR file: it holds no graph")
    if texts.pop(DIGEST_KEY, "") not in ("", _digest(fields)):
        raise DelfError(f"{name} is damaged: its graph is not the one that was written")
    return texts


def _digest(fields: Mapping[int, list[Value]]) -> str:
    digest = hashlib.sha256()
    for graph in fields.get(GRAPH, []):
        digest.update(as_bytes(graph))
    return digest.hexdigest()


def _text(text: str) -> bytes:
    return bytes_field(TEXT, text.encode("utf-8"))


def _last(entry: Mapping[int, list[Value]], number: int) -> str:
    return as_bytes(entry.get(number, [b""])[-1]).decode("utf-8")
