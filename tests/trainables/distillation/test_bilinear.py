"""Compact bilinear pooling: sketches entry by entry, products against circular convolution and the polynomial kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.distillation.bilinear import CompactBilinear, CountSketch


def test_a_sketch_entry_by_entry() -> None:
    """Every location by itself: channel i, times its sign, is added to its place."""
    torch.manual_seed(0)
    sketch, maps = CountSketch(7, 4), torch.randn(2, 7, 3, 2)
    assert sketch.places.min() >= 0 and sketch.places.max() < 4 and set(sketch.signs.tolist()) == {-1.0, 1.0}
    expected = np.zeros((2, 4, 3, 2))
    for channel in range(7):
        expected[:, int(sketch.places[channel])] += float(sketch.signs[channel]) * maps[:, channel].numpy()
    assert sketch(maps).numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dimension", [8, 9])
def test_vertices_are_circular_convolutions_then_signed_roots_of_unit_length(dimension: int) -> None:
    """Three teachers, three pairs in the order (0,1), (0,2), (1,2); odd and even lengths of the transform."""
    torch.manual_seed(0)
    channels = (5, 6, 4)
    pooling = CompactBilinear(channels, dimension, "location")
    maps = [torch.randn(2, count, 2, 3, dtype=torch.float64) for count in channels]
    vertices = pooling(maps)
    sketches = [sketch(each).numpy() for sketch, each in zip(pooling.sketches, maps, strict=True)]
    for vertex, (one, other) in zip(vertices, ((0, 1), (0, 2), (1, 2)), strict=True):
        convolved = np.zeros_like(sketches[0])
        for i in range(dimension):
            for j in range(dimension):
                convolved[:, (i + j) % dimension] += sketches[one][:, i] * sketches[other][:, j]
        rooted = np.sign(convolved) * np.sqrt(np.abs(convolved))
        expected = rooted / np.sqrt((rooted**2).sum(1, keepdims=True))
        assert vertex.shape == (2, dimension, 2, 3)
        assert vertex.numpy() == pytest.approx(expected, abs=1e-7)


def test_inner_products_are_those_of_the_outer_products_in_expectation() -> None:
    """<x, x'> <y, y'> against the mean over 4000 draws, within four standard errors; a wrong kernel would be many away."""
    generator = torch.Generator().manual_seed(0)
    first = [torch.randn(1, 6, 1, 1, generator=generator, dtype=torch.float64) for _ in range(2)]
    second = [each + 0.5 * torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in first]
    expected = np.prod([float((a * b).sum()) for a, b in zip(first, second, strict=True)])
    torch.manual_seed(1)
    products = []
    for _ in range(4000):
        psi = [CountSketch(6, 16), CountSketch(6, 16)]
        one, other = (
            torch.fft.irfft(
                torch.fft.rfft(psi[0](x), dim=1) * torch.fft.rfft(psi[1](y), dim=1),
                n=16,
                dim=1,
            )
            for x, y in (first, second)
        )
        products.append(float((one * other).sum()))
    error = np.std(products) / np.sqrt(len(products))
    assert abs(np.mean(products) - expected) < 4 * error
    assert expected > 20 * error, "zero would be told apart"


def test_each_teacher_has_hashes_of_its_own_from_the_global_generator() -> None:
    torch.manual_seed(3)
    pooling = CompactBilinear((32, 32), 16, "map")
    one, other = pooling.sketches
    assert not torch.equal(one.places, other.places) and not torch.equal(one.signs, other.signs)
    torch.manual_seed(3)
    again = CompactBilinear((32, 32), 16, "map").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in pooling.state_dict().items())
    assert set(again) == {f"sketches.{k}.{name}" for k in (0, 1) for name in ("places", "signs")}


def test_no_gradient_reaches_the_teachers_and_nothing_stays_nothing() -> None:
    """A map of zeros has a vertex of zeros, not NaN."""
    maps = [torch.zeros(1, 3, 2, 2, requires_grad=True), torch.randn(1, 3, 2, 2)]
    (vertex,) = CompactBilinear((3, 3), 8, "map")(maps)
    assert not vertex.requires_grad
    assert torch.equal(vertex, torch.zeros_like(vertex))
