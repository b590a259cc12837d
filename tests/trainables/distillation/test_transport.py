"""Transport: exact distances against POT's network simplex and brute force, the entropic ones against the exact, gradients."""

from __future__ import annotations

import itertools

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from trainables.distillation.transport import costs, earth_mover, entropic_plans, sinkhorn
from trainables.settings import GraphSettings


def predictions(batch: int, classes: int, scale: float = 2.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Four teachers' and a student's softmax vectors, double precision; what they say is half in common."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    teachers = common + torch.randn(4, batch, classes, generator=generator, dtype=torch.float64)
    student = common + torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    return (scale / 2 * teachers).softmax(-1), (scale * student).softmax(-1)


def euclidean(mu: Tensor, eta: Tensor) -> np.ndarray:
    """||mu_i - eta_j|| (n, B, B), written out."""
    return np.sqrt(((mu.numpy()[:, :, None] - eta.numpy()[None, None]) ** 2).sum(-1))


@pytest.mark.parametrize(("batch", "classes"), [(2, 3), (5, 4), (40, 101)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_distances_are_those_of_network_simplex(batch: int, classes: int, dtype: torch.dtype) -> None:
    mu, eta = predictions(batch, classes)
    weight = np.full(batch, 1 / batch)
    expected = [ot.emd2(weight, weight, cost) for cost in euclidean(mu, eta)]
    assert earth_mover(mu.to(dtype), eta.to(dtype)).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("batch", [2, 4, 5])
def test_exact_distances_are_the_best_of_all_permutations(batch: int) -> None:
    mu, eta = predictions(batch, 6)
    expected = [
        min(cost[range(batch), order].mean() for order in itertools.permutations(range(batch))) for cost in euclidean(mu, eta)
    ]
    assert earth_mover(mu, eta).tolist() == pytest.approx(expected, rel=1e-12)


def test_a_permuted_batch_is_at_distance_zero_with_finite_gradients() -> None:
    """The same vectors in another order cost nothing, and where mu_i = eta_j the gradient is 0, not NaN."""
    mu, _ = predictions(6, 5)
    student = mu[0].flip(0).clone().requires_grad_()
    distance = earth_mover(mu[:1], student)
    distance.sum().backward()
    assert distance.item() == 0
    assert student.grad is not None and torch.equal(student.grad, torch.zeros_like(student))


def test_equal_predictions_have_finite_gradients_by_sinkhorn() -> None:
    student = torch.full((4, 3), 1 / 3).requires_grad_()
    distance = sinkhorn(student.detach().expand(2, -1, -1), student, 0.0005)
    distance.sum().backward()
    assert distance.tolist() == [0.0, 0.0]
    assert student.grad is not None and student.grad.isfinite().all()


def test_gradients_are_those_of_finite_differences() -> None:
    """Through the plan that is optimal on both sides of a step of 1e-6, as it is for all but degenerate predictions."""
    mu, eta = predictions(4, 3)
    logits = eta.log().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda student: earth_mover(mu, student.softmax(-1)), logits)


def test_gradients_are_those_of_pot() -> None:
    mu, eta = predictions(20, 7)
    ours, theirs = eta.clone().requires_grad_(), eta.clone().requires_grad_()
    earth_mover(mu, ours).sum().backward()
    weight = torch.full((20,), 1 / 20, dtype=torch.float64)
    torch.stack([ot.emd2(weight, weight, ot.dist(each, theirs, metric="euclidean")) for each in mu]).sum().backward()
    assert ours.grad is not None and theirs.grad is not None
    assert ours.grad.numpy() == pytest.approx(theirs.grad.numpy(), abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
def test_entropic_distances_are_within_a_thousandth_of_the_exact_at_the_default(scale: float) -> None:
    mu, eta = (values.float() for values in predictions(32, 101, scale))
    exact = earth_mover(mu, eta)
    entropic = sinkhorn(mu, eta, GraphSettings().sinkhorn_regularisation)
    assert ((entropic - exact).abs() / exact).max() < 1e-3
    coarse = sinkhorn(mu, eta, 0.05)
    assert ((coarse - exact) / exact).min() > 0.02, "the regularisation is what keeps it near"


def test_entropic_plans_have_uniform_marginals_and_the_entropic_form() -> None:
    """Plans exp((f_i + g_j - c_ij) / reg): all 2 x 2 minors of log plan + cost / reg vanish."""
    mu, eta = predictions(8, 5)
    cost = costs(mu, eta)
    plans = entropic_plans(cost, 0.1)
    assert plans.sum(1).numpy() == pytest.approx(np.full((4, 8), 1 / 8), rel=1e-6)
    assert plans.sum(2).numpy() == pytest.approx(np.full((4, 8), 1 / 8), rel=1e-2)
    potentials = plans.log() + cost / cost.amax((1, 2), keepdim=True) / 0.1
    minors = potentials - potentials[:, :1] - potentials[:, :, :1] + potentials[:, :1, :1]
    assert minors.abs().max() < 1e-9


def test_the_gradient_of_sinkhorn_is_the_plan_s() -> None:
    """d <plan, cost> with the plan held: sum_i plan_ij (eta_j - mu_i) / cost_ij."""
    mu, eta = predictions(5, 4)
    student = eta.clone().requires_grad_()
    sinkhorn(mu, student, 0.05).sum().backward()
    cost = euclidean(mu, eta)
    plans = entropic_plans(torch.from_numpy(cost), 0.05).numpy()
    expected = ((plans / cost)[..., None] * (eta.numpy()[None, None] - mu.numpy()[:, :, None])).sum((0, 1))
    assert student.grad is not None and student.grad.numpy() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("distance", [earth_mover, lambda mu, eta: sinkhorn(mu, eta, 0.05)])
def test_what_is_not_a_number_stays_visible(distance: object) -> None:
    """A student that diverged gives NaN, which training reports, and no error of the solver."""
    assert callable(distance)
    mu, eta = predictions(4, 3)
    assert distance(mu, eta * torch.nan).isnan().all()
