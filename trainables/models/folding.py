"""Batch norm of a network that only evaluates: a factor and a shift of each channel, which the convolution before it can do."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainables.models.device import Network

_CONVOLUTIONS = (nn.Conv2d.forward, nn.Conv3d.forward)


def folded(network: Network) -> Network:
    """A copy in evaluation mode, in which convolutions do the batch norms that follow them: the same but for rounding.

    Following are neighbours in an nn.Sequential, also where one of them is the end of another such row. Other batch norms stay.
    """
    network = copy.deepcopy(network).eval()
    for row in [module for module in network.modules() if _is_row(module)]:
        for (first, name), (second, other) in pairwise(_places(row)):
            convolution, norm = first._modules[name], second._modules[other]
            if (
                isinstance(convolution, nn.Conv2d | nn.Conv3d)
                and type(convolution).forward in _CONVOLUTIONS
                and "weight" in convolution._parameters  # else it is a function of others
                and isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
                and norm.running_mean is not None
            ):
                first._modules[name] = fuse_conv_bn_eval(convolution, norm)
                second._modules[other] = nn.Identity().eval()
    return network


def in_place_of(network: nn.Module, copied: nn.Module) -> dict[nn.Module, nn.Module]:
    """What a copy of a network has in the place of each of its modules."""
    return {module: copied.get_submodule(name) for name, module in network.named_modules(remove_duplicate=False)}


def _is_row(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _places(row: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """What a row consists of, in the order in which it computes: where it lies and under which name."""
    for name, module in row._modules.items():
        if module is not None and _is_row(module):
            yield from _places(module)
        else:
            yield row, name
