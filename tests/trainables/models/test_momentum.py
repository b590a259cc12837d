"""The running average of parameters against its closed form."""

from __future__ import annotations

import torch
from torch import nn

from trainables.models.momentum import momentum_update


def test_parameters_follow_and_buffers_do_not() -> None:
    """From 0 towards 1 at momentum m: 1 - m^n after n updates. Running statistics of batch norm stay where they are."""
    follower, leader = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2))
    with torch.no_grad():
        for own, other in zip(follower.parameters(), leader.parameters(), strict=True):
            own.zero_()
            other.fill_(1)
    leader[1].running_mean.fill_(5)
    for _ in range(7):
        momentum_update(follower, leader, 0.9)
    for own, other in zip(follower.parameters(), leader.parameters(), strict=True):
        torch.testing.assert_close(own.detach(), torch.full_like(own, 1 - 0.9**7))
        assert torch.all(other == 1)
    assert torch.all(follower[1].running_mean == 0)
