# SPDX-License-Identifier: Apache-2.0
"""The names that TensorFlow 2's object graph has for a variable.

A checkpoint stores each variable under one path through the objects that own it, and
Keras' bookkeeping may win: ``_model/variables/7``. The graph beside it knows the other
paths, ``_model/backbone/l4b/conv2b/kernel`` among them, and the variable's own name.

Source: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from delf_common.io.delf_proto import Value, as_bytes, group_fields

DEPTH = 6  # names above a variable that are followed, enough for _model/backbone/l4b
MOST = 200  # paths to one variable, so that a strange graph takes no strange time
BOOKKEEPING = ("variables", "layers", "losses", "keras_api", "signatures", "metrics")


@dataclass
class Node:
    """An object.

    Args:
        children: name in this object -> number of the owned object.
        values: key in the checkpoint -> the variable's own name.
    """

    children: dict[str, int] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def read_aliases(graph: bytes) -> dict[str, list[str]]:
    """Every path to each stored variable, the checkpoint's own key left out.

    Args:
        graph: a serialised TrackableObjectGraph.

    Returns:
        Checkpoint key -> names, paths of attributes before the variable's own name.

    Raises:
        DelfError: the message is damaged.
    """
    nodes = [_node(as_bytes(value)) for value in group_fields(graph).get(1, [])]
    owners: dict[int, list[tuple[int, str]]] = {}
    for number, node in enumerate(nodes):
        for name, child in node.children.items():
            if not _is_bookkeeping(name):
                owners.setdefault(child, []).append((number, name))
    aliases: dict[str, list[str]] = {}
    for number, node in enumerate(nodes):
        for key, own in node.values.items():
            ways = islice(_paths(number, owners, DEPTH), MOST)
            paths = ["/".join(path) for path in ways]
            aliases.setdefault(key, []).extend([*paths, own] if own else paths)
    return aliases


def _paths(
    number: int, owners: dict[int, list[tuple[int, str]]], depth: int
) -> Iterator[tuple[str, ...]]:
    """Ways down to an object, of at most ``depth`` names, the longest first."""
    for owner, name in owners.get(number, []):
        if depth > 1:
            for path in _paths(owner, owners, depth - 1):
                yield (*path, name)
        yield (name,)


def _is_bookkeeping(name: str) -> bool:
    """Whether Keras keeps a list under this name, rather than a layer."""
    return name.isdecimal() or any(word in name for word in BOOKKEEPING)


def _node(data: bytes) -> Node:
    fields, node = group_fields(data), Node()
    for value in fields.get(1, []):
        child = group_fields(as_bytes(value))
        number = child.get(1, [0])[-1]
        node.children[_text(child, 2)] = number if isinstance(number, int) else 0
    for value in fields.get(2, []):
        attribute = group_fields(as_bytes(value))
        node.values[_text(attribute, 3)] = _text(attribute, 2)
    return node


def _text(fields: dict[int, list[Value]], number: int) -> str:
    return as_bytes(fields.get(number, [b""])[-1]).decode("utf-8", "replace")
