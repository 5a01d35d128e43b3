# SPDX-License-Identifier: Apache-2.0
"""DELF's network in onnxruntime; fits `delf_common.protocols.Backend`."""

from delf_onnx.loading import export, load_network, train

__all__ = ["export", "load_network", "train"]
