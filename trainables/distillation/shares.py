"""How much each part of the student's loss moves it: norms of gradients, and a weight chosen by them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SMALLEST = torch.finfo(torch.float32).tiny
"""Taken for a gradient that is 0, so that a share is a number."""


def gradient_norm(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """L2 norm of a loss's gradient, in float64; 0 where it does not reach the parameters.

    Leaves the graph for further gradients, and `grad` of the parameters, torch's random numbers and all statistics alone.
    """
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    norms = [torch.linalg.vector_norm(one, dtype=torch.float64) for one in gradients if one is not None]
    return torch.stack(norms).norm() if norms else loss.new_zeros((), dtype=torch.float64)


class Balance(nn.Module):
    """A weight that gives a loss, at the first batch, a gradient of `share` times another's; from then on it stays."""

    weight: Tensor

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("weight", torch.zeros(()))
        self.asked = False

    def forward(self, loss: Tensor, other: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
        """The weight of `loss`, as measured at these parameters; 1 where one of the gradients is 0, as no weight would do."""
        if not self.asked:  # after an interruption the weight may be known already, which is seen without reading it
            norms = gradient_norm(other, parameters), gradient_norm(loss, parameters)
            balanced = self.share * norms[0] / norms[1]
            measured = torch.where(balanced.isfinite() & (balanced > 0), balanced, 1)
            self.weight.copy_(torch.where(self.weight == 0, measured, self.weight))
        self.asked = True
        return self.weight
