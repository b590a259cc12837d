"""The momentum encoder (He et al. 2020): a network whose parameters follow another's as a running average."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def momentum_update(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """theta_follower <- m theta_follower + (1 - m) theta_leader, in place; batch-norm statistics are left alone."""
    own: list[Tensor] = list(follower.parameters())
    other: list[Tensor] = list(leader.parameters())
    torch._foreach_mul_(own, momentum)
    torch._foreach_add_(own, other, alpha=1 - momentum)
