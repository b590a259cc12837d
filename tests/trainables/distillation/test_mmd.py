"""Maximum mean discrepancy: against a double loop in float64, equal sets, bandwidths, weights and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.distillation import mmd
from trainables.distillation.mmd import median_square, squared_distances, squared_mmd
from trainables.settings.graph import Bandwidth


def sets(batch: int = 3, student: int = 4, vertex: int = 5, places: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(batch, student, places, generator=generator, dtype=torch.float64)
    other = torch.randn(batch, vertex, places, generator=generator, dtype=torch.float64)
    return one.softmax(-1), (2 * other).softmax(-1)


def by_loops(student: Tensor, vertex: Tensor, bandwidth: Bandwidth, weights: np.ndarray | None = None) -> float:
    """Eq. 9 for each sample, vector by vector."""
    x, y = student.double().numpy(), vertex.double().numpy()
    sigma = bandwidth
    if sigma == "median":
        distances = sorted(float(np.linalg.norm(a - b)) for xs, ys in zip(x, y, strict=True) for a in xs for b in ys)
        sigma = distances[(len(distances) - 1) // 2]
    u = np.full(x.shape[1], 1 / x.shape[1])
    v = np.full(y.shape[1], 1 / y.shape[1]) if weights is None else weights

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * sigma**2)))

    total = 0.0
    for xs, ys in zip(x, y, strict=True):
        total += sum(u[p] * u[q] * kernel(a, b) for p, a in enumerate(xs) for q, b in enumerate(xs))
        total += sum(v[p] * v[q] * kernel(a, b) for p, a in enumerate(ys) for q, b in enumerate(ys))
        total -= 2 * sum(u[p] * v[q] * kernel(a, b) for p, a in enumerate(xs) for q, b in enumerate(ys))
    return total / len(x)


@pytest.mark.parametrize("bandwidth", ["median", 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_a_double_loop(bandwidth: Bandwidth, dtype: torch.dtype) -> None:
    student, vertex = sets()
    found = float(squared_mmd(student.to(dtype), vertex.to(dtype), bandwidth))
    assert found == pytest.approx(by_loops(student, vertex, bandwidth), rel=1e-4 if dtype == torch.float32 else 1e-10)


def test_weights_against_a_double_loop() -> None:
    student, vertex = sets()
    weights = torch.tensor([0.5, 0.1, 0.1, 0.2, 0.1], dtype=torch.float64)
    found = float(squared_mmd(student, vertex, "median", weights))
    assert found == pytest.approx(by_loops(student, vertex, "median", weights.numpy()), rel=1e-10)
    assert found != pytest.approx(float(squared_mmd(student, vertex, "median")))


@pytest.mark.parametrize("bandwidth", ["median", 0.01])
def test_equal_sets_are_at_zero_in_whatever_order(bandwidth: Bandwidth) -> None:
    student, _ = sets()
    found = squared_mmd(student.float(), student.float().flip(1), bandwidth)
    assert float(found) == pytest.approx(0, abs=1e-6)


def test_sets_that_shrank_to_one_point_are_finite() -> None:
    """Maps without structure: all distances, and so their median, are 0."""
    student = torch.full((2, 3, 4), 0.25, requires_grad=True)
    found = squared_mmd(student, torch.full((2, 5, 4), 0.25), "median")
    found.backward()
    assert float(found.detach()) == pytest.approx(0, abs=1e-6)
    assert student.grad is not None and student.grad.isfinite().all()


def test_never_negative_for_nearly_equal_sets() -> None:
    """Vectors 1e-4 apart around 1/169, in float32: the distances are not lost to rounding."""
    torch.manual_seed(0)
    student = (0.01 * torch.randn(2, 8, 169, dtype=torch.float64)).softmax(-1)
    vertex = (0.01 * torch.randn(2, 9, 169, dtype=torch.float64)).softmax(-1)
    found = float(squared_mmd(student.float(), vertex.float(), "median"))
    assert found == pytest.approx(by_loops(student, vertex, "median"), rel=1e-3)
    assert found > 0


def test_gradients_are_those_of_finite_differences_with_the_bandwidth_held() -> None:
    student, vertex = sets(2, 3, 3, 4)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    inputs = (student.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, w: squared_mmd(x, vertex, 0.4, w), inputs)
    sigma = median_square(squared_distances(student, vertex)).sqrt().item()
    (by_median,) = torch.autograd.grad(squared_mmd(student, vertex, "median"), student)
    (by_constant,) = torch.autograd.grad(squared_mmd(student, vertex, sigma), student)
    assert by_median.numpy() == pytest.approx(by_constant.numpy(), rel=1e-9)


def test_the_median_of_many_is_that_of_a_subset_with_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 columns of constant values and 64 of 512 wanted: a stride of 8 would see a single column."""
    monkeypatch.setattr(mmd, "MEDIAN_OF", 64)
    values = torch.arange(1.0, 9.0).expand(8, 8, 8)
    assert median_square(values).item() == values.median().item() == 4
    monkeypatch.setattr(mmd, "MEDIAN_OF", 10**6)
    assert median_square(torch.tensor([[[5.0, 1.0, 3.0]]])).item() == 3


def test_squared_distances_by_hand() -> None:
    a, b = torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]), torch.tensor([[[0.0, 1.0]]])
    assert squared_distances(a, b).tolist() == [[[1.0], [18.0]]]
