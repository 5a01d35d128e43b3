# SPDX-License-Identifier: Apache-2.0
"""The network as modules whose whole forward pass an exporter can record."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delf_common.config import ExportConfig
from delf_common.extraction.pca import SMALLEST_SQUARED_NORM
from delf_common.weights.metadata import Pca
from delf_torch.export_geometry import centres_in_picture
from delf_torch.export_layers import recordable
from delf_torch.layers import normalise
from delf_torch.network import TorchNetwork

Axes = dict[str, dict[int, str]]  # names of the axes that are free, by input or output


class MapForm(nn.Module):
    """Bytes in, the maps of one pyramid level out.

    Args:
        network: folded, on the CPU.
    """

    def __init__(self, network: TorchNetwork) -> None:
        super().__init__()
        self.delf = recordable(network.delf)
        free = {0: "batch", 1: "rows", 2: "columns"}
        self.axes: Axes = {"attention": free, "features": free}

    def forward(self, images: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, H, W, 3) uint8, size (2,) to (B, h, w), (B, h, w, C)."""
        level = (size[0], size[1])
        x = F.interpolate(normalise(images), level, mode="bilinear")  # type: ignore[arg-type]
        features, attention = self.delf(x)
        return attention, features.permute(0, 2, 3, 1)


class KeypointForm(nn.Module):
    """Bytes in, the best keypoints of one pyramid level out.

    There are k = min(``most``, cells inside the border) keypoints, best first, the same
    that `delf_common.extraction.selection` chooses without a threshold: ``keypoints``
    (B, k, 2) x, y in pixels of ``images``, ``scores`` (B, k), and ``descriptors``
    (B, k, D) of unit length, projected where the weights have a PCA. A server joins its
    levels by falling score and drops scores below its threshold.

    Args:
        network: folded, on the CPU.
        most: keypoints.
    """

    def __init__(self, network: TorchNetwork, most: int) -> None:
        super().__init__()
        self.maps = MapForm(network)
        self.field = network.receptive_field
        self.border = network.info.border_cells
        self.pca = network.info.pca
        self.most = torch.tensor([most])
        free = {0: "batch", 1: "count"}
        self.axes: Axes = {"keypoints": free, "scores": free, "descriptors": free}

    def forward(self, images: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, H, W, 3) uint8, size (2,) to keypoints, scores, descriptors."""
        attention, features = self.maps(images, size)
        columns = torch._shape_as_tensor(attention)[2]
        scores, cells = self._best(attention, columns)
        sides = torch._shape_as_tensor(images)[1:3]
        centres = centres_in_picture(cells, size, sides, self.field)
        index = cells[..., 0] * columns + cells[..., 1]
        index = index.unsqueeze(-1).expand(-1, -1, features.shape[-1])
        rows = torch.gather(features.flatten(1, 2), 1, index)
        return centres, scores, describe(rows, self.pca)

    def _best(self, attention: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, k) and row, column (B, k, 2) of the best cells inside the border.

        Equal scores are ordered by row, then column, as ONNX demands of its TopK.
        """
        border = self.border
        if border:
            attention = attention[:, border:-border, border:-border]
        flat = attention.flatten(1)
        there = torch._shape_as_tensor(flat)[1:2]
        count = torch.minimum(self.most, there)[0]
        scores, inner = torch.topk(flat, count, dim=1)  # type: ignore[arg-type]
        width = torch.clamp(columns - 2 * border, min=1)  # divides, even no cells
        rows = torch.div(inner, width, rounding_mode="floor")
        return scores, torch.stack([rows, inner - rows * width], dim=-1) + border


def describe(rows: Tensor, pca: Pca | None) -> Tensor:
    """`delf_common.extraction.pca.describe` without whitening, for (B, k, C)."""
    unit = normalise_rows(rows)
    if pca is None:
        return unit
    components = torch.from_numpy(pca.components.T.copy())
    return normalise_rows((unit - torch.from_numpy(pca.mean)) @ components)


def normalise_rows(rows: Tensor) -> Tensor:
    """Divide rows by their length; a row of zeros stays zero."""
    squared = torch.sum(rows * rows, dim=-1, keepdim=True)
    return rows / torch.sqrt(torch.clamp(squared, min=SMALLEST_SQUARED_NORM))


def build_form(network: TorchNetwork, config: ExportConfig) -> MapForm | KeypointForm:
    """Build the module that the configuration asks for."""
    if config.form == "maps":
        return MapForm(network).eval()
    return KeypointForm(network, config.max_feature_num).eval()
