# SPDX-License-Identifier: Apache-2.0
"""DELF's network in a MindIR file; fits `delf_common.protocols.Backend`.

MindSpore runs the file on a CPU, MindSpore Lite on an Ascend.
"""

from delf_mindir.loading import export, load_network, train

__all__ = ["export", "load_network", "train"]
