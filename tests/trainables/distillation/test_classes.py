"""Transport over classes, sample by sample: against POT and closed forms, its gradient, its metrics between prototypes."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from trainables.distillation.classes import between_prototypes, earth_mover, total_variation
from trainables.distillation.distances import DISTANCES, Said
from trainables.settings import GraphSettings

ZERO_ONE = 1 - torch.eye(5, dtype=torch.float64)


def predictions(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """mu (3, 6, 5) and eta (6, 5)."""
    generator = torch.Generator().manual_seed(0)
    mu, eta = (torch.randn(*shape, 5, generator=generator, dtype=torch.float64) for shape in ((3, 6), (6,)))
    return mu.softmax(-1).to(dtype), (2 * eta).softmax(-1).to(dtype)


def metrics() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return between_prototypes([torch.randn(5, size, generator=generator) for size in (8, 3, 8)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_pot_per_sample(dtype: torch.dtype) -> None:
    mu, eta = predictions(dtype)
    found = earth_mover(mu, eta, metrics())
    expected = [
        [ot.emd2(m / m.sum(), e / e.sum(), ground) for m, e in zip(of_teacher, eta.double().numpy(), strict=True)]
        for of_teacher, ground in zip(mu.double().numpy(), metrics().numpy(), strict=True)
    ]
    assert found.dtype == dtype
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-6)


def test_with_zero_and_one_it_is_the_total_variation() -> None:
    """Value and gradient, the latter as far as a softmax lets it through; POT says the same."""
    mu, eta = predictions()
    logits = eta.log()
    one, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    simplex = earth_mover(mu, one.softmax(-1), ZERO_ONE.expand(3, -1, -1))
    closed = total_variation(mu, other.softmax(-1))
    assert simplex.detach().numpy() == pytest.approx(closed.detach().numpy(), rel=1e-9)
    gradients = [torch.autograd.grad(found.sum(), at)[0].numpy() for found, at in ((simplex, one), (closed, other))]
    assert gradients[0] == pytest.approx(gradients[1], abs=1e-9)
    weights = (mu[0, 0].numpy(), eta[0].numpy())
    assert float(closed[0, 0].detach()) == pytest.approx(ot.emd2(*weights, ZERO_ONE.numpy()), rel=1e-9)


def test_gradients_are_those_of_finite_differences() -> None:
    mu, eta = predictions()
    logits = eta.log().requires_grad_()
    assert torch.autograd.gradcheck(lambda student: earth_mover(mu, student.softmax(-1), metrics()), logits)


def test_metrics_of_prototypes_by_hand() -> None:
    """Rows at (0, 0), (3, 4), (6, 8): 5 and 10 apart, of which the largest is 1; equally distant rows are zero and one."""
    found = between_prototypes([torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]), 7 * torch.eye(3)])
    assert found[0].numpy() == pytest.approx(np.array([[0, 0.5, 1], [0.5, 0, 0.5], [1, 0.5, 0]]))
    assert found[1].numpy() == pytest.approx(1 - np.eye(3))
    assert between_prototypes([torch.ones(3, 2)]).isfinite().all(), "classes that a teacher cannot tell apart"
    assert float(between_prototypes([torch.randn(101, 8)]).diagonal(dim1=1, dim2=2).abs().max()) == 0, "nor by rounding"


def test_a_metric_of_prototypes_costs_at_most_what_zero_and_one_cost_and_no_other_samples() -> None:
    mu, eta = predictions()
    found = earth_mover(mu, eta, metrics())
    assert ((found > 0) & (found <= total_variation(mu, eta) + 1e-12)).all()
    alone = earth_mover(mu[:, 2:3], eta[2:3], metrics())
    assert torch.equal(alone[:, 0], found[:, 2])


def test_the_setting_says_which_metric() -> None:
    mu, eta = predictions()
    said = Said(eta.log(), mu.log(), torch.ones(3), torch.zeros(6), metrics())
    settings = GraphSettings(distance="class_em")
    closed = DISTANCES["class_em"](said._replace(ground=None), settings)
    assert closed.of_samples.numpy() == pytest.approx(total_variation(mu, eta).numpy(), rel=1e-9)
    by_prototypes = DISTANCES["class_em"](said, settings)
    assert by_prototypes.of_samples.numpy() == pytest.approx(earth_mover(mu, eta, metrics()).numpy(), rel=1e-9)


def test_equal_predictions_and_ones_that_leave_classes_empty() -> None:
    """Nothing to move costs nothing; from one class to another costs their distance."""
    certain = torch.eye(5, dtype=torch.float64)
    ground = metrics()
    assert torch.equal(earth_mover(certain.expand(3, -1, -1), certain, ground), torch.zeros(3, 5, dtype=torch.float64))
    others = certain.roll(1, 0)
    found = earth_mover(certain.expand(3, -1, -1), others, ground)
    expected = [[float(ground[n, i, int(others[i].argmax())]) for i in range(5)] for n in range(3)]
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-12)


def test_what_is_not_a_number_stays_visible() -> None:
    mu, eta = predictions()
    eta[2] = torch.nan
    found = earth_mover(mu, eta, metrics())
    assert found[:, 2].isnan().all() and found[:, [0, 1, 3, 4, 5]].isfinite().all()
