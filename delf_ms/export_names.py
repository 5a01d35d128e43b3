# SPDX-License-Identifier: Apache-2.0
"""Names inside a MindIR file, without the counters of the process that wrote it.

MindSpore numbers graphs, nodes and operators as the process makes them. The input would
be called ``327_1_delf_ms_export_forms_LevelForm_construct_23:level``, and the same
network would give other bytes the second time.
"""

from __future__ import annotations

import re
from typing import Any

REFERENCE = "REF::"  # begins the type of a node that names an operator of the list
NUMBERED = re.compile(r"(\w+)_\d+(\$\w+)?(:\d+)?$")


def plain_names(model: Any) -> None:
    """Rename all in a ModelProto, in place: ``level``, ``CNode_0``, ``Conv2D:1``."""
    graph = model.graph
    prefix, names = f"{graph.name}:", {"": ""}
    graph.name = "delf"
    for value in [*graph.parameter, *graph.input]:
        names[value.name] = value.name.removeprefix(prefix)
        value.name = names[value.name]
    for node in graph.node:
        for i, name in enumerate(node.output):
            kind = NUMBERED.match(name.removeprefix(prefix))
            names[name] = f"{kind[1] if kind else 'Node'}_{len(names)}"
            node.output[i] = names[name]
        node.name = names.get(node.name, node.name.removeprefix(prefix))
        node.input[:] = [names.get(n, n.removeprefix(prefix)) for n in node.input]
    for value in graph.output:
        value.name = names.get(value.name, value.name.removeprefix(prefix))
    _sort(graph.attribute)
    _plain_operators(model)


def _plain_operators(model: Any) -> None:
    """Number operators in the order of their first use, and list them so."""
    numbers: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type.startswith(REFERENCE):
            name = node.op_type.removeprefix(REFERENCE)
            new = f"{name.partition(':')[0]}:{len(numbers)}"
            node.op_type = REFERENCE + numbers.setdefault(name, new)
    for primitive in model.primitives:
        name = primitive.name
        primitive.name = numbers.get(name, f"{name.partition(':')[0]}:unused")
        _sort(primitive.attribute)
    _sort(model.primitives)


def _sort(entries: Any) -> None:
    """Order by name, without what the process alone gave."""
    kept = [entry for entry in entries if not _of_the_process(entry)]
    ordered = sorted(kept, key=lambda entry: entry.name)
    copies = [type(entry).FromString(entry.SerializeToString()) for entry in ordered]
    del entries[:]
    entries.extend(copies)


def _of_the_process(entry: Any) -> bool:
    """Whether an attribute is the moment of writing, or left by a run."""
    stamped = getattr(entry, "s", b"").startswith(b"export.mindir.")
    return bool(stamped or entry.name.endswith("_is_dynamic_shape"))
