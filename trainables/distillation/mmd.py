"""Maximum mean discrepancy between two sets of vectors with a Gaussian kernel (Eq. 9)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainables.settings.graph import Bandwidth

MEDIAN_OF = 2**15
"""Distances of which the median is taken, about: evenly strided over all."""


def squared_mmd(student: Tensor, vertex: Tensor, bandwidth: Bandwidth, weights: Tensor | None = None) -> Tensor:
    """Eq. 9, mean over the batch (scalar): a V-statistic, so never negative but for rounding, and 0 for equal sets.

    student: (B, C_s, S), C_s vectors for each sample. vertex: (B, C_k, S). weights: (C_k,) of the vertex's vectors, which sum
    to one; None: 1 / C_k. bandwidth: sigma of K(a, b) = exp(-||a - b||^2 / (2 sigma^2)); "median": the median distance between
    a student's and a vertex's vector, a constant for the gradient, one for the batch.

    Memory in float32: 4 * B * (C_s^2 + C_s * C_k + C_k^2) bytes of kernel values, and about as much of distances; what
    is kept for the gradient leaves out C_k^2. S adds 4 * B * (C_s + C_k) * S.
    """
    # Distances are the same from any origin, and lose least to rounding from one in the middle.
    origin = vertex.mean(1, keepdim=True)
    student, vertex = student - origin, vertex - origin
    across = squared_distances(student, vertex)
    double_variance = 2 * (median_square(across) if bandwidth == "median" else across.new_full((), bandwidth**2))

    def kernel(squares: Tensor) -> Tensor:
        return torch.exp(squares / -double_variance)

    if weights is None:
        weights = vertex.new_full((vertex.shape[1],), 1 / vertex.shape[1])
    within_student = kernel(squared_distances(student, student)).mean()
    within_vertex = weights @ _constant(vertex, double_variance) @ weights
    return within_student + within_vertex - 2 * kernel(across).mean((0, 1)) @ weights


@torch.no_grad()
def _constant(vertex: Tensor, double_variance: Tensor) -> Tensor:
    """Kernel values between a vertex's vectors, mean over the batch (C_k, C_k): computed in the place of their distances, as
    no gradient will ask for those."""
    return squared_distances(vertex, vertex).div_(-double_variance).exp_().mean(0)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_p - b_q||^2 (B, P, Q) of a (B, P, S) and b (B, Q, S)."""
    lengths = a.square().sum(2)[:, :, None] + b.square().sum(2)[:, None, :]
    return lengths.baddbmm_(a, b.mT, alpha=-2).clamp_min_(0)


def median_square(squares: Tensor) -> Tensor:
    """The (lower) median of squared distances, at least the smallest positive number; without gradient.

    Of more than MEDIAN_OF it is that of every k-th, k having no divisor in common with their number: a stride that divided
    the length of a row would see the same few columns only.
    """
    values = squares.detach().flatten()
    stride = max(len(values) // MEDIAN_OF, 1)
    while math.gcd(stride, len(values)) > 1:
        stride += 1
    return values[::stride].median().clamp_min(torch.finfo(values.dtype).tiny)
