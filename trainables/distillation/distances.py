"""Distances between the student's predictions and each teacher's: what flows along the edges of the logits graph (Eq. 4).

The teachers' predictions are softened by T_k and the student's by T_s (Eq. 6, where T_s = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.distillation import classes, transport
from trainables.settings import GraphSettings


class Said(NamedTuple):
    """Of a batch: logits of the student (B, c) and of the teachers (n, B, c), the temperatures T_k (n,) of these, the labels
    (B,), and each teacher's ground metric between classes (n, c, c), which `class_em` alone reads; None: 0 and 1."""

    student: Tensor
    teachers: Tensor
    temperatures: Tensor
    labels: Tensor
    ground: Tensor | None = None

    @property
    def softened(self) -> Tensor:
        """mu (n, B, c) of Eq. 6."""
        return (self.teachers / self.temperatures[:, None, None]).softmax(-1)

    def predicted(self, settings: GraphSettings) -> Tensor:
        """eta (B, c) of Eq. 6."""
        return (self.student / settings.student_temperature).softmax(-1)


class Distances(NamedTuple):
    """The student's distance from each teacher on a batch (n,), and what of it each sample has (n, B), with this as mean."""

    of_batch: Tensor
    of_samples: Tensor


Distance = Callable[[Said, GraphSettings], Distances]


def earth_mover(said: Said, settings: GraphSettings) -> Distances:
    """Eq. 5: exact transport between the batch's predictions."""
    paid = transport.earth_mover(said.softened, said.predicted(settings), between_samples(said, settings))
    return Distances(paid.mean(-1), paid)


def sinkhorn(said: Said, settings: GraphSettings) -> Distances:
    """Eq. 5 with a plan regularised by its entropy, found on the tensors' device."""
    between = between_samples(said, settings)
    paid = transport.sinkhorn(said.softened, said.predicted(settings), between, settings.sinkhorn_regularisation)
    return Distances(paid.sum((1, 2)), len(between) * paid.sum(2))


def class_earth_mover(said: Said, settings: GraphSettings) -> Distances:
    """Eq. 5 for each sample by itself: its probability is moved between classes, at the cost of the ground metric."""
    mu, eta = said.softened, said.predicted(settings)
    paid = classes.total_variation(mu, eta) if said.ground is None else classes.earth_mover(mu, eta, said.ground)
    return Distances(paid.mean(-1), paid)


def kl(said: Said, settings: GraphSettings) -> Distances:
    """KL(teacher || student), without Hinton's factor T^2."""
    mu = F.log_softmax(said.teachers / said.temperatures[:, None, None], dim=-1)
    eta = F.log_softmax(said.student / settings.student_temperature, dim=-1)
    found = F.kl_div(eta.expand_as(mu), mu, reduction="none", log_target=True).sum(-1)
    return Distances(found.mean(-1), found)


def cosine(said: Said, settings: GraphSettings) -> Distances:
    """1 - cosine of the raw logits, which knows no temperature (MMGD, google/graph_distillation)."""
    alike = F.cosine_similarity(said.teachers, said.student.expand_as(said.teachers), dim=-1)
    return Distances(1 - alike.mean(-1), 1 - alike)


def l2(said: Said, settings: GraphSettings) -> Distances:
    """||mu_i - eta_i||_2: Eq. 5 with the plan that leaves every sample with itself."""
    distances: Tensor = torch.linalg.vector_norm(said.softened - said.predicted(settings), dim=-1)
    return Distances(distances.mean(-1), distances)


DISTANCES: dict[str, Distance] = {
    "em": earth_mover,
    "sinkhorn": sinkhorn,
    "class_em": class_earth_mover,
    "kl": kl,
    "cosine": cosine,
    "l2": l2,
}


def between_samples(said: Said, settings: GraphSettings) -> Tensor:
    """alpha d(x_i, x_j) (B, B): d is 0 between a sample and itself, or between samples of a label, else 1."""
    if settings.sample_cost == 0:
        return said.student.new_zeros(len(said.labels), len(said.labels))
    marks = said.labels if settings.sample_cost_of == "label" else torch.arange(len(said.labels), device=said.labels.device)
    return settings.sample_cost * (marks[:, None] != marks).to(said.student.dtype)


def single(values: Tensor) -> Tensor:
    """In float32, or as they are where they are more precise: losses of bfloat16 values would not show small distances."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
