"""The momentum encoder (He et al. 2020): a network whose parameters follow another's as a running average, and the bank of its
earlier answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.no_grad()
def momentum_update(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """theta_follower <- m theta_follower + (1 - m) theta_leader, in place; batch-norm statistics are left alone."""
    own: list[Tensor] = list(follower.parameters())
    other: list[Tensor] = list(leader.parameters())
    torch._foreach_mul_(own, momentum)
    torch._foreach_add_(own, other, alpha=1 - momentum)


class OncePerStep(nn.Module):
    """A network of which a follower moves and a bank takes embeddings once per step, though its batch may come in parts.

    first, last: whether the part at hand is the step's first or last, which whoever divides batches says.
    """

    bank: MemoryBank

    def __init__(self) -> None:
        super().__init__()
        self.first = self.last = True
        self._embeddings: list[Tensor] = []

    def follow(self, follower: nn.Module, leader: nn.Module, momentum: float) -> None:
        """`momentum_update` before the first part."""
        if self.first:
            momentum_update(follower, leader, momentum)

    def remember(self, embeddings: Tensor) -> None:
        """Let those of all parts (B, D) enter the bank after the last one."""
        self._embeddings.append(embeddings)
        if self.last:
            self.bank.enqueue(torch.cat(self._embeddings))
            self._embeddings.clear()


class MemoryBank(nn.Module):
    """First-in-first-out bank of H unit vectors of dimension D: random ones, which embeddings replace from the first place on.

    filled: how many are embeddings. It and the position of the oldest stay on the host, where they are read in every step.
    """

    anchors: Tensor
    position: Tensor
    filled: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("anchors", F.normalize(torch.randn(size, dimension), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        on_host = self.position, self.filled
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.position, self.filled = on_host
        return self

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor) -> None:
        """Replace the oldest anchors by these (B, D); of a batch larger than the bank the last H rows stay."""
        size = self.anchors.shape[0]
        places = (self.position + torch.arange(len(embeddings), device=embeddings.device)) % size
        self.anchors[places[-size:]] = embeddings.detach()[-size:].to(self.anchors.dtype)
        self.position.copy_((self.position + len(embeddings)) % size)
        self.filled.copy_((self.filled + len(embeddings)).clamp(max=size))
