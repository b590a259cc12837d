"""Pooled maps: at most GRID x GRID places, whatever the frame."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models.encoder import FrameEncoder
from trainables.tasks.pooling import GRID, map_shape, pooled, pooled_size


def test_pooled_maps_have_the_announced_size_whatever_the_frame(encoder: FrameEncoder) -> None:
    """At most GRID x GRID places, each the mean of its part; asking an encoder leaves it as it was."""
    for side in (4, 8, 12, 80):
        places = min(GRID, side // 4) ** 2
        maps = encoder.train().maps(torch.rand(2, 3, side, side))
        assert map_shape(encoder, side) == maps.shape[1:]
        assert pooled(maps).shape == (2, pooled_size(encoder, side)) == (2, 8 * places)
        assert encoder.training and all(isinstance(layer, nn.Module) and layer.training for layer in encoder.layers())
    parts = torch.rand(1, 1, 2 * GRID, 2 * GRID)
    expected = parts.numpy().reshape(GRID, 2, GRID, 2).mean((1, 3)).ravel()
    assert pooled(parts)[0].numpy() == pytest.approx(expected, rel=1e-5)
