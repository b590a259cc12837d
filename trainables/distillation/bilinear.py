"""Compact bilinear pooling of pairs of teachers (Eq. 7; Gao et al. 2016), at every location of their maps.

The outer product of two vectors of channels is sketched without ever being formed: the count sketch of an outer product is
the circular convolution of the two sketches, a product in the frequency domain (Pham & Pagh 2013). The expected inner product
of the sketches of (x, y) and (x', y') is <x, x'> <y, y'>.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.settings.graph import VertexNorm


class CountSketch(nn.Module):
    """Psi: channel i is added to sketch channel h_i with sign s_i. h and s are drawn from torch's global generator and kept.

    Maps (B, C, h, w) to (B, dimension, h, w).
    """

    places: Tensor
    signs: Tensor

    def __init__(self, channels: int, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.register_buffer("places", torch.randint(dimension, (channels,)))
        self.register_buffer("signs", 2.0 * torch.randint(2, (channels,)) - 1)

    def forward(self, maps: Tensor) -> Tensor:
        batch, _, height, width = maps.shape
        sketch = maps.new_zeros(batch, self.dimension, height, width)
        return sketch.index_add_(1, self.places, maps * self.signs[:, None, None].to(maps.dtype))


def of_one_norm(maps: Tensor, norm: VertexNorm) -> Tensor:
    """Maps (B, C, h, w) less their scale. `map`: the whole of each has root mean square 1, so that an entry means the same
    whatever the size; `location`: the channels of each location have length 1, which leaves nothing of where a map is large.

    A map of zeros stays one.
    """
    if norm == "location":
        return F.normalize(maps, dim=1)
    flat = maps.flatten(1)
    return (F.normalize(flat, dim=1) * math.sqrt(flat.shape[1])).view_as(maps)


class CompactBilinear(nn.Module):
    """Vertices of G_r: one for each pair of teachers, in the order of itertools.combinations.

    Maps (B, C_k, h, w) of n teachers, float32 or float64, to C(n, 2) of (B, dimension, h, w): sketch of the outer product,
    signed square root, `of_one_norm`. No gradient reaches the teachers. One transform per
    teacher and one inverse per pair. In float32 a spectrum takes 4 * B * (dimension + 2) * h * w bytes, of which there are n
    and one that comes and goes, and a vertex 4 * B * dimension * h * w.
    """

    def __init__(self, channels: Sequence[int], dimension: int, norm: VertexNorm) -> None:
        super().__init__()
        self.dimension, self.norm = dimension, norm
        self.sketches = nn.ModuleList(CountSketch(count, dimension) for count in channels)

    @torch.no_grad()
    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        spectra = [torch.fft.rfft(sketch(each), dim=1) for sketch, each in zip(self.sketches, maps, strict=True)]
        return [self._vertex(one * other) for one, other in itertools.combinations(spectra, 2)]

    def _vertex(self, spectrum: Tensor) -> Tensor:
        bilinear = torch.fft.irfft(spectrum, n=self.dimension, dim=1)
        return of_one_norm(bilinear.sign() * bilinear.abs().sqrt(), self.norm)
