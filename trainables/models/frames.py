"""What networks of single frames are made of: padding, pooling that small frames survive, and the weights they start from."""

from __future__ import annotations

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
