"""What every video network has in common: layers in a row, pooling over space and time, and a last layer that may be absent."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from trainables.settings import ComputeSettings


class Backbone(nn.Module, ABC):
    """Clips (B, 3, T, H, W) to features (B, `features`), or to `fc` of them."""

    features: int
    fc: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool3d(1)

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The convolutional layers from the first on; finetuning can keep leading ones as they are."""

    def forward(self, clips: Tensor) -> Tensor:
        maps = clips
        for layer in self.layers():
            maps = layer(maps)
        result: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return result


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolution_weights(network: Backbone) -> dict[str, Tensor]:
    """State of the backbone without `fc`: what one stage hands to the next, batch-norm statistics included."""
    return {name: value.detach().cpu() for name, value in network.state_dict().items() if not name.startswith("fc.")}


def load_convolutions(network: Backbone, weights: dict[str, Tensor]) -> None:
    """Load what `convolution_weights` gave; raises ValueError naming the first key that is missing or of another shape."""
    own = network.state_dict()
    expected = {name: value for name, value in own.items() if not name.startswith("fc.")}
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights or name not in expected:
            raise ValueError(f"weights of another network: '{name}' is {'missing' if name in expected else 'not part of it'}")
        if weights[name].shape != expected[name].shape:
            raise ValueError(
                f"weights of another network: '{name}' is {tuple(weights[name].shape)}, expected {tuple(expected[name].shape)}"
            )
    network.load_state_dict({**own, **weights})


@torch.no_grad()
def place(network: nn.Module, device: torch.device, compute: ComputeSettings) -> nn.Module:
    """The network on the device, its backbones compiled if asked; on a GPU in the memory layout that is fastest for cuDNN."""
    if compute.compile:
        for module in network.modules():
            if isinstance(module, Backbone):
                module.compile()
    if device.type == "cuda" and compute.channels_last:
        return network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]
    return network.to(device)
