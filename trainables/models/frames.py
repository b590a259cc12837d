"""What networks of single frames are made of: padding, pooling that small frames survive, and the weights they start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn


def padding(side: int, stride: int) -> int:
    """Zeros around a convolution's input, side // (stride + 1).

    At stride 1 that is half the filter, so that odd filters keep the size; with 11 and stride 4 it is AlexNet's 2.
    """
    return side // (stride + 1)


class MaxPool(nn.MaxPool2d):
    """Max pooling without padding; maps that are smaller than its window pass as they are."""

    def __init__(self, side: int, stride: int) -> None:
        super().__init__(side, stride)
        self.side = side

    def forward(self, maps: Tensor) -> Tensor:
        return maps if min(maps.shape[-2:]) < self.side else super().forward(maps)


def filters_of(weights: Mapping[str, Tensor]) -> dict[tuple[int, ...], Tensor]:
    """The filters of the convolutions in `features`, by the numbers in their names, from the first convolution on."""
    filters = {name: value for name, value in weights.items() if name.startswith("features.") and value.dim() == 4}
    places = {tuple(map(int, name.split(".")[1:-1])): value for name, value in filters.items()}
    return dict(sorted(places.items()))


def initialise(network: nn.Module) -> None:
    """He et al. (2015): normal weights, by fan out in convolutions and by fan in in linear layers; biases are 0.

    Signals keep their order of magnitude through many layers, so that no batch norm is needed to start.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan: Literal["fan_out", "fan_in"] = "fan_out" if isinstance(module, nn.Conv2d) else "fan_in"
            nn.init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
