"""Transport: exact distances against POT's network simplex and brute force, the entropic ones against the exact, gradients;
what it costs to take one sample for another, and its limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from trainables.distillation import transport
from trainables.distillation.transport import Assignments, costs, entropic_plans
from trainables.settings import GraphSettings

ALPHAS = [0.05, 0.2, 0.6]
SQRT2 = math.sqrt(2)


def earth_mover(mu: Tensor, eta: Tensor, between: Tensor | None = None) -> Tensor:
    """Distances (n,); None: of predictions alone."""
    return transport.earth_mover(mu, eta, apart(len(eta), 0.0).to(mu) if between is None else between).mean(-1)


def sinkhorn(mu: Tensor, eta: Tensor, regularisation: float, between: Tensor | None = None) -> Tensor:
    return transport.sinkhorn(mu, eta, apart(len(eta), 0.0).to(mu) if between is None else between, regularisation).sum((1, 2))


def apart(batch: int, alpha: float) -> Tensor:
    """alpha [i != j], written out."""
    return torch.tensor([[alpha * (i != j) for j in range(batch)] for i in range(batch)], dtype=torch.float64)


def own(mu: Tensor, eta: Tensor) -> Tensor:
    """Every sample for itself: mean of ||mu_i - eta_i||."""
    norms: Tensor = torch.linalg.vector_norm(mu - eta, dim=-1)
    return norms.mean(-1)


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


def test_without_a_cost_of_samples_it_is_the_old_distance_to_the_bit() -> None:
    """Value and gradient of transport between the predictions alone, as it was written before samples had a cost."""
    mu, eta = (values.float() for values in predictions(24, 7))
    new, old = eta.clone().requires_grad_(), eta.clone().requires_grad_()
    found = earth_mover(mu, new)
    assigned = old[Assignments(torch.cdist(mu.double(), old.detach().double().expand_as(mu))).found()]
    expected = torch.linalg.vector_norm(mu - assigned, dim=-1).mean(-1)
    assert torch.equal(found, expected)
    assert torch.equal(torch.autograd.grad(found.sum(), new)[0], torch.autograd.grad(expected.sum(), old)[0])


@pytest.mark.parametrize("alpha", [SQRT2, 2.0, 100.0])
def test_from_the_square_root_of_two_on_every_sample_stays_with_itself(alpha: float) -> None:
    """To the bit, value and gradient; no two distributions are further apart, these are next to it."""
    mu, eta = (values.float() for values in predictions(24, 7, scale=30.0))
    one, other = eta.clone().requires_grad_(), eta.clone().requires_grad_()
    found, expected = earth_mover(mu, one, apart(24, alpha).float()), own(mu, other)
    assert torch.equal(found, expected)
    assert torch.equal(torch.autograd.grad(found.sum(), one)[0], torch.autograd.grad(expected.sum(), other)[0])
    assert (earth_mover(mu, eta) < 0.7 * expected.detach()).all(), "of itself it would not stay"
    assert sinkhorn(mu, eta, 0.0005, apart(24, alpha).float()).tolist() == pytest.approx(expected.tolist(), rel=1e-3)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_joint_distances_are_those_of_network_simplex(alpha: float) -> None:
    """POT with the same cost matrix, the gradient with respect to the student by its own plan."""
    mu, eta = predictions(30, 7)
    labels = torch.arange(30) % 4
    for between in (apart(30, alpha), alpha * (labels[:, None] != labels).double()):
        weight, student = torch.full((30,), 1 / 30, dtype=torch.float64), eta.clone().requires_grad_()
        expected = torch.stack([ot.emd2(weight, weight, ot.dist(each, student, metric="euclidean") + between) for each in mu])
        gradient = torch.autograd.grad(expected.sum(), student)[0]
        ours = eta.clone().requires_grad_()
        found = earth_mover(mu, ours, between)
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-9)
        assert torch.autograd.grad(found.sum(), ours)[0].numpy() == pytest.approx(gradient.numpy(), abs=1e-6)
        assert sinkhorn(mu, eta, 0.0005, between).tolist() == pytest.approx(expected.tolist(), rel=2e-3)


def test_distances_rise_with_the_cost_of_samples_up_to_every_sample_s_own() -> None:
    mu, eta = predictions(30, 7)
    rising = torch.stack([earth_mover(mu, eta, apart(30, alpha)) for alpha in (0.0, *ALPHAS, SQRT2)])
    assert (rising.diff(dim=0) >= -1e-12).all()
    assert (rising[1] > rising[0]).all()
    assert torch.equal(rising[-1], own(mu, eta))
