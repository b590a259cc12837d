"""Distances between predictions: each against its formula in numpy and float64, and gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.distillation.distances import DISTANCES, single
from trainables.settings import GraphSettings

TEMPERATURES = [2.0, 1.0, 4.0]
SETTINGS = GraphSettings(student_temperature=1.5)


def logits(batch: int = 6, classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    return student, torch.randn(3, batch, classes, generator=generator, dtype=torch.float64)


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
    found = DISTANCES[name](student, teachers, torch.tensor(TEMPERATURES), SETTINGS)
    expected = [formula(teacher, student.numpy(), t) for teacher, t in zip(teachers.numpy(), TEMPERATURES, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_transport_is_at_most_l2() -> None:
    """The identity is one of the plans; on a shuffled batch others are better."""
    student, teachers = logits(12)
    exact = DISTANCES["em"](student, teachers, torch.tensor(TEMPERATURES), SETTINGS)
    entropic = DISTANCES["sinkhorn"](student, teachers, torch.tensor(TEMPERATURES), SETTINGS)
    paired = DISTANCES["l2"](student, teachers, torch.tensor(TEMPERATURES), SETTINGS)
    assert (exact < paired).all()
    assert entropic.tolist() == pytest.approx(exact.tolist(), rel=1e-3)


@pytest.mark.parametrize("name", ["em", "kl", "cosine", "l2"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    student, teachers = logits(4, 3)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: DISTANCES[name](s, teachers, torch.tensor(TEMPERATURES), SETTINGS), student)


@pytest.mark.parametrize("name", list(DISTANCES))
@pytest.mark.parametrize("same", [0.0, 1.0])
def test_equal_logits_have_finite_gradients(name: str, same: float) -> None:
    """Also logits that are all zero, whose cosine is none."""
    student = torch.full((4, 3), same).requires_grad_()
    plain = GraphSettings()
    distances = DISTANCES[name](student, student.detach().expand(3, -1, -1), torch.ones(3), plain)
    distances.sum().backward()
    assert student.grad is not None and student.grad.isfinite().all()
    if (name, same) != ("cosine", 0.0):
        assert distances.tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_every_distance_of_the_settings_exists() -> None:
    for name in DISTANCES:
        assert GraphSettings.model_validate({"distance": name}).distance == name
    with pytest.raises(ValueError, match=", ".join(f"'{name}'" for name in list(DISTANCES)[:-1])):
        GraphSettings.model_validate({"distance": "l3"})


@pytest.mark.parametrize(("given", "kept"), [("bfloat16", "float32"), ("float16", "float32"), ("float64", "float64")])
def test_no_loss_in_half_precision(given: str, kept: str) -> None:
    assert single(torch.ones(1, dtype=getattr(torch, given))).dtype == getattr(torch, kept)
