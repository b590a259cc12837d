"""A network on the device that computes: memory layout, compilation, and waiting for it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from trainables.models.backbone import Backbone
from trainables.models.encoder import Encoder
from trainables.settings import ComputeSettings

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The layout of weights of so many dimensions: of images, of clips."""
CUDA_GRAPHS = "reduce-overhead"
"""Torch's name of the mode in which compiled networks are launched as CUDA graphs."""
Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def on_device(network: Network, device: torch.device, compute: ComputeSettings) -> Network:
    """The network on the device, in the memory layout that is asked for, its backbones and encoders compiled if asked."""
    mode = CUDA_GRAPHS if compute.cuda_graphs and device.type == "cuda" else None
    if compute.compile:
        for module in network.modules():
            if isinstance(module, Backbone):
                module.compile(mode=mode)
            elif isinstance(module, Encoder):
                module.compile_methods(mode)
    network.to(device)
    if compute.channels_last:
        for value in (*network.parameters(), *network.buffers()):
            if value.dim() in CHANNELS_LAST:
                value.data = value.data.contiguous(memory_format=CHANNELS_LAST[value.dim()])
    return network


def wait_for(device: torch.device) -> None:
    """Return when the device has computed what it was given: before a clock is read. A CPU has done so already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
