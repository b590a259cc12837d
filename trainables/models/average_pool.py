"""Averages of a map's places, also where a GPU must give the same bits from run to run."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def average_pool(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps (N, C, h, w) averaged to (N, C, height, width), as adaptive average pooling does.

    Where kernels must be deterministic, which CUDA's gradient of it is not, as sums by products of matrices.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return F.adaptive_avg_pool2d(maps, (height, width))
    rows, columns = _members(height, maps.shape[-2], maps), _members(width, maps.shape[-1], maps)
    return rows @ maps @ columns.T / torch.outer(rows.sum(1), columns.sum(1))


def _members(cells: int, places: int, like: Tensor) -> Tensor:
    """1 where a place is in a cell (cells, places), else 0."""
    cell, place = torch.arange(cells, device=like.device)[:, None], torch.arange(places, device=like.device)
    first, end = cell * places // cells, ((cell + 1) * places + cells - 1) // cells
    return ((first <= place) & (place < end)).to(like.dtype)


class AveragePool(nn.Module):
    """`average_pool` to so many cells in height and width."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, maps: Tensor) -> Tensor:
        return average_pool(maps, self.cells, self.cells)
