# SPDX-License-Identifier: Apache-2.0
"""DELF's network in PyTorch; fits `delf_common.protocols.Backend`."""

from delf_torch.loading import load_network

__all__ = ["load_network"]
