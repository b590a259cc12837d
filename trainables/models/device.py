"""A network on the device that computes: memory layout, compilation, and waiting for it."""

from __future__ import annotations

import torch
from torch import nn

from trainables.models.backbone import Backbone
from trainables.models.encoder import Encoder
from trainables.settings import ComputeSettings


@torch.no_grad()
def on_device(network: nn.Module, device: torch.device, compute: ComputeSettings) -> nn.Module:
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


def wait_for(device: torch.device) -> None:
    """Return when the device has computed what it was given: before a clock is read. A CPU has done so already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
