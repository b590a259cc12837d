"""Which of its kernels a GPU computes with, while a stage runs: what the group `compute` says of torch's global choices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from trainables.settings import ComputeSettings

FORBIDDEN = 2
"""Torch's deterministic debug mode in which a kernel that may give other bits from run to run raises RuntimeError."""


class Kernels(NamedTuple):
    """Whether convolutions and products of matrices in float32 may use TF32, whether cuDNN tries its kernels, and torch's
    deterministic debug mode."""

    convolutions: bool
    products: bool
    benchmark: bool
    deterministic: int

    @classmethod
    def chosen(cls) -> Kernels:
        """As torch has them now."""
        cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
        return cls(cudnn.allow_tf32, cuda.matmul.allow_tf32, cudnn.benchmark, torch.get_deterministic_debug_mode())

    def choose(self) -> None:
        torch.backends.cudnn.allow_tf32 = self.convolutions
        torch.backends.cuda.matmul.allow_tf32 = self.products
        torch.backends.cudnn.benchmark = self.benchmark
        torch.set_deterministic_debug_mode(self.deterministic)


@contextmanager
def kernels(compute: ComputeSettings, device: torch.device) -> Iterator[None]:
    """Inside, a GPU computes with the kernels that are asked for; after it with those of before. On a CPU nothing changes."""
    asked = Kernels(
        compute.tf32 != "none", compute.tf32 == "all", compute.cudnn_benchmark, FORBIDDEN if compute.deterministic else 0
    )
    if device.type != "cuda":
        yield
        return
    before = Kernels.chosen()
    asked.choose()
    try:
        yield
    finally:
        before.choose()
