"""Distances between the student's predictions and each teacher's: what flows along the edges of the logits graph (Eq. 4).

All take the student's logits (B, c), the teachers' (n, B, c), the temperatures of the teachers (n,) and the settings, and
return one distance per teacher (n,). The teachers' predictions are softened by T_k and the student's by T_s (Eq. 6, where
T_s = 1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.distillation import transport
from trainables.settings import GraphSettings

Distance = Callable[[Tensor, Tensor, Tensor, GraphSettings], Tensor]


def earth_mover(student: Tensor, teachers: Tensor, temperatures: Tensor, settings: GraphSettings) -> Tensor:
    """Eq. 5: exact transport between the batch's predictions."""
    return transport.earth_mover(*_predictions(student, teachers, temperatures, settings))


def sinkhorn(student: Tensor, teachers: Tensor, temperatures: Tensor, settings: GraphSettings) -> Tensor:
    """Eq. 5 with a plan regularised by its entropy, found on the tensors' device."""
    mu, eta = _predictions(student, teachers, temperatures, settings)
    return transport.sinkhorn(mu, eta, settings.sinkhorn_regularisation)


def kl(student: Tensor, teachers: Tensor, temperatures: Tensor, settings: GraphSettings) -> Tensor:
    """Mean over the batch of KL(teacher || student), without Hinton's factor T^2."""
    mu = F.log_softmax(teachers / temperatures[:, None, None], dim=-1)
    eta = F.log_softmax(student / settings.student_temperature, dim=-1)
    return F.kl_div(eta.expand_as(mu), mu, reduction="none", log_target=True).sum(-1).mean(-1)


def cosine(student: Tensor, teachers: Tensor, temperatures: Tensor, settings: GraphSettings) -> Tensor:
    """Mean over the batch of 1 - cosine of the raw logits, which knows no temperature (MMGD, google/graph_distillation)."""
    return 1 - F.cosine_similarity(teachers, student.expand_as(teachers), dim=-1).mean(-1)


def l2(student: Tensor, teachers: Tensor, temperatures: Tensor, settings: GraphSettings) -> Tensor:
    """Mean over the batch of ||mu_i - eta_i||_2: Eq. 5 with the plan that leaves every sample with itself."""
    mu, eta = _predictions(student, teachers, temperatures, settings)
    distances: Tensor = torch.linalg.vector_norm(mu - eta, dim=-1)
    return distances.mean(-1)


DISTANCES: dict[str, Distance] = {"em": earth_mover, "sinkhorn": sinkhorn, "kl": kl, "cosine": cosine, "l2": l2}


def single(values: Tensor) -> Tensor:
    """In float32, or as they are where they are more precise: losses of bfloat16 values would not show small distances."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _predictions(student: Tensor, teachers: Tensor, temperatures: Tensor, settings: GraphSettings) -> tuple[Tensor, Tensor]:
    """mu (n, B, c) and eta (B, c) of Eq. 6."""
    return (teachers / temperatures[:, None, None]).softmax(-1), (student / settings.student_temperature).softmax(-1)
