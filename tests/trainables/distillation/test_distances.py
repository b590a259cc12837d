"""Distances between predictions: each against its formula in numpy and float64, and gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from trainables.distillation.distances import DISTANCES, Said, single
from trainables.settings import GraphSettings

TEMPERATURES = [2.0, 1.0, 4.0]
SETTINGS = GraphSettings(student_temperature=1.5)


def logits(batch: int = 6, classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    return student, torch.randn(3, batch, classes, generator=generator, dtype=torch.float64)


def said(student: Tensor, teachers: Tensor, temperatures: Tensor | None = None, ground: Tensor | None = None) -> Said:
    """Samples with labels 0, 1, 0, 1, ..."""
    of_teachers = torch.tensor(TEMPERATURES) if temperatures is None else temperatures
    return Said(student, teachers, of_teachers, torch.arange(len(student)) % 2, ground)


def distances(name: str, student: Tensor, teachers: Tensor, settings: GraphSettings = SETTINGS) -> Tensor:
    return DISTANCES[name](said(student, teachers), settings).of_batch


def softmax(values: np.ndarray) -> np.ndarray:
    exponential = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(-1, keepdims=True))


def kl(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    mu, eta = softmax(teacher / temperature), softmax(student / 1.5)
    return float(np.mean([(m * np.log(m / e)).sum() for m, e in zip(mu, eta, strict=True)]))


def cosine(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    return float(np.mean([1 - t @ s / np.sqrt(t @ t * (s @ s)) for t, s in zip(teacher, student, strict=True)]))


def l2(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    return float(np.sqrt(((softmax(teacher / temperature) - softmax(student / 1.5)) ** 2).sum(1)).mean())


@pytest.mark.parametrize(("name", "formula"), [("kl", kl), ("cosine", cosine), ("l2", l2)])
def test_distances_without_transport(name: str, formula: Callable[[np.ndarray, np.ndarray, float], float]) -> None:
    student, teachers = logits()
    found = distances(name, student, teachers)
    expected = [formula(teacher, student.numpy(), t) for teacher, t in zip(teachers.numpy(), TEMPERATURES, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_transport_is_at_most_l2() -> None:
    """The identity is one of the plans; on a shuffled batch others are better."""
    student, teachers = logits(12)
    exact, entropic, paired = (
        distances(name, student, teachers, SETTINGS.model_copy(update={"sample_cost": 0.0}))
        for name in ("em", "sinkhorn", "l2")
    )
    assert (exact < paired).all()
    assert entropic.tolist() == pytest.approx(exact.tolist(), rel=1e-3)


@pytest.mark.parametrize("name", ["em", "class_em", "kl", "cosine", "l2"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    student, teachers = logits(4, 3)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: distances(name, s, teachers), student)


@pytest.mark.parametrize("name", list(DISTANCES))
@pytest.mark.parametrize("same", [0.0, 1.0])
def test_equal_logits_have_finite_gradients(name: str, same: float) -> None:
    """Also logits that are all zero, whose cosine is none."""
    student = torch.full((4, 3), same).requires_grad_()
    plain = GraphSettings()
    found = DISTANCES[name](said(student, student.detach().expand(3, -1, -1), torch.ones(3)), plain).of_batch
    found.sum().backward()
    assert student.grad is not None and student.grad.isfinite().all()
    if (name, same) != ("cosine", 0.0):
        assert found.tolist() == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("name", list(DISTANCES))
def test_a_distance_is_the_mean_of_what_samples_have(name: str) -> None:
    found = DISTANCES[name](said(*logits(12)), SETTINGS)
    assert found.of_samples.shape == (3, 12)
    assert found.of_samples.mean(1).tolist() == pytest.approx(found.of_batch.tolist(), rel=1e-9)


@pytest.mark.parametrize("of", ["clip", "label"])
def test_transport_pays_for_samples_that_it_takes_for_one_another(of: str) -> None:
    """Against POT with alpha d written out; alpha = 0 asks for neither."""
    student, teachers = logits(12)
    settings = GraphSettings.model_validate({"sample_cost": 0.15, "sample_cost_of": of, "student_temperature": 1.5})
    eta, weight = softmax(student.numpy() / 1.5), np.full(12, 1 / 12)
    alike = [[i == j if of == "clip" else i % 2 == j % 2 for j in range(12)] for i in range(12)]
    between = 0.15 * (1 - np.array(alike, float))
    expected = [
        ot.emd2(weight, weight, np.linalg.norm(softmax(teacher / t)[:, None] - eta, axis=-1) + between)
        for teacher, t in zip(teachers.numpy(), TEMPERATURES, strict=True)
    ]
    assert distances("em", student, teachers, settings).tolist() == pytest.approx(expected, rel=1e-9)
    assert distances("sinkhorn", student, teachers, settings).tolist() == pytest.approx(expected, rel=2e-3)
    free = settings.model_copy(update={"sample_cost": 0.0})
    assert (distances("em", student, teachers, free) < distances("em", student, teachers, settings)).all()


@pytest.mark.parametrize("name", list(DISTANCES))
@pytest.mark.parametrize("alpha", [0.0, GraphSettings().sample_cost])
def test_who_sees_which_sample_a_teacher_spoke_about(name: str, alpha: float) -> None:
    """Each teacher's answers in another order: transport without a cost of samples gives the same loss and gradient, as far as
    sums in another order are the same; everything else another loss."""
    student, teachers = logits(16)
    settings = GraphSettings(sample_cost=alpha)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    found = []
    for of_teachers in (teachers, teachers[:, order]):
        own = student.clone().requires_grad_()
        value = distances(name, own, of_teachers, settings)
        found.append((value.detach(), torch.autograd.grad(value.sum(), own)[0]))
    (one, gradient), (other, of_other) = found
    blind = name in ("em", "sinkhorn") and alpha == 0
    if blind:
        torch.testing.assert_close(one, other, rtol=1e-14 if name == "em" else 1e-3, atol=0)
        torch.testing.assert_close(gradient, of_other, rtol=0, atol=1e-15 if name == "em" else 1e-3)
    else:
        assert ((one - other).abs() > 1e-3).all()


def test_every_distance_of_the_settings_exists() -> None:
    for name in DISTANCES:
        assert GraphSettings.model_validate({"distance": name}).distance == name
    with pytest.raises(ValueError, match=", ".join(f"'{name}'" for name in list(DISTANCES)[:-1])):
        GraphSettings.model_validate({"distance": "l3"})


@pytest.mark.parametrize(("given", "kept"), [("bfloat16", "float32"), ("float16", "float32"), ("float64", "float64")])
def test_no_loss_in_half_precision(given: str, kept: str) -> None:
    assert single(torch.ones(1, dtype=getattr(torch, given))).dtype == getattr(torch, kept)
