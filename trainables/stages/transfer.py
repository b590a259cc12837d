"""Networks whose leading layers start from another network of the same form (Sec. 5.2, after Yosinski et al. 2014).

What is lost with frozen layers of another task is how special they are to it, together with what splitting a network between
co-adapted layers costs; layers of the same network and labels (`selffer`) have the latter alone.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from trainables.models.encoder import Encoder
from trainables.models.weights import HEADS, load_convolutions


class Transfer(nn.Module):
    """A network in training: its frozen leading layers get no gradient and keep their batch-norm statistics.

    weights: of the other network, of which the leading `layers` are taken over (None: all), never the head.
    """

    def __init__(self, network: Encoder, weights: dict[str, Tensor], layers: int | None, freeze: bool) -> None:
        super().__init__()
        self.network = network
        leading = network.layers()[:layers]
        transferred = _names_of(network, leading)
        own = network.state_dict()
        found = {name: value for name, value in weights.items() if not name.startswith(HEADS)}
        kept = {name: value for name, value in own.items() if name in found and name not in transferred}
        load_convolutions(network, {**found, **kept})
        self.frozen = leading if freeze else []
        for layer in self.frozen:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for layer in self.frozen:
            layer.eval()
        return self


def _names_of(network: nn.Module, layers: list[nn.Module]) -> set[str]:
    """Names that parameters and buffers of some of a network's layers have in its state."""
    tensors = {id(tensor) for layer in layers for tensor in (*layer.parameters(), *layer.buffers())}
    named = (*network.named_parameters(), *network.named_buffers())
    return {name for name, tensor in named if id(tensor) in tensors}
