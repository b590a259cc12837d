"""Maps of a frame encoder as vectors of fixed size: what the heads of the teachers' tasks see of a frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.models.average_pool import average_pool
from trainables.models.encoder import FrameEncoder

GRID = 8
"""Side of the grid that maps are averaged to; smaller maps stay as they are."""


def pooled(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) averaged to at most GRID x GRID places and flattened: (N, C * places)."""
    height, width = maps.shape[-2:]
    return average_pool(maps, min(GRID, height), min(GRID, width)).flatten(1)


def map_shape(encoder: FrameEncoder, side: int, layers: int | None = None) -> tuple[int, int, int]:
    """Channels, height and width of what the encoder's `maps` gives of a square frame of this side, seen by asking it."""
    weight = next(encoder.parameters())
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        channels, height, width = encoder.maps(torch.zeros(1, 3, side, side, device=weight.device), layers).shape[1:]
    encoder.train(training)
    return channels, height, width


@torch.no_grad()
def start_from_differences(layer: nn.Linear | nn.Conv2d) -> None:
    """Make a layer on two joined inputs start as one on their difference: weights (w, -w).

    Whether two frames are alike is then seen at once; from independent weights small networks never find it.
    """
    half = layer.weight.shape[1] // 2
    layer.weight[:, half:] = -layer.weight[:, :half]


def pooled_size(encoder: FrameEncoder, side: int, layers: int | None = None) -> int:
    """Length of the vector that `pooled` makes of a square frame of this side."""
    channels, height, width = map_shape(encoder, side, layers)
    return channels * min(GRID, height) * min(GRID, width)
