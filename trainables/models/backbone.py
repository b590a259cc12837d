"""What every video network has in common: layers in a row, pooling over space and time, and a last layer that may be absent.

Handing convolutions from one network to the next and placing a network on its device work for `Encoder`s as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from trainables.models.encoder import Encoder
from trainables.settings import ComputeSettings

HEADS = ("fc.", "classifier.")
"""How the names of parameters begin that belong to no convolutional layer."""


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


def convolution_weights(network: nn.Module) -> dict[str, Tensor]:
    """State of a backbone or encoder without its head: what a stage hands to the next, batch-norm statistics included."""
    return {name: value.detach().cpu() for name, value in network.state_dict().items() if not name.startswith(HEADS)}


def load_convolutions(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load what `convolution_weights` gave; raises ValueError naming the first key that is missing or of another shape."""
    own = network.state_dict()
    if problem := mismatch(weights, {name: value for name, value in own.items() if not name.startswith(HEADS)}):
        raise ValueError(f"weights of another network: {problem}")
    network.load_state_dict({**own, **weights})


def mismatch(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> str | None:
    """What is wrong with the first key, by name, that is missing, not expected or of another shape; None if all agree."""
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            return f"'{name}' is missing, expected {tuple(expected[name].shape)}"
        if name not in expected:
            return f"'{name}' is not part of it, found {tuple(weights[name].shape)}"
        if weights[name].shape != expected[name].shape:
            return f"'{name}' is {tuple(weights[name].shape)}, expected {tuple(expected[name].shape)}"
    return None


@torch.no_grad()
def place(network: nn.Module, device: torch.device, compute: ComputeSettings) -> nn.Module:
    """The network on the device, its backbones and encoders compiled if asked.

    On a GPU in the memory layout that is fastest for cuDNN: of images for encoders, of clips for backbones.
    """
    if compute.compile:
        for module in network.modules():
            if isinstance(module, Backbone):
                module.compile()
            elif isinstance(module, Encoder):
                module.compile_methods()
    if device.type == "cuda" and compute.channels_last:
        of_images = any(isinstance(module, Encoder) for module in network.modules())
        layout = torch.channels_last if of_images else torch.channels_last_3d
        return network.to(device, memory_format=layout)  # type: ignore[call-overload, no-any-return]
    return network.to(device)
