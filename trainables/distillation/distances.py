"""Distances between the student's predictions and each teacher's: what flows along the edges of the logits graph (Eq. 4).

The teachers' predictions are softened by T_k and the student's by T_s (Eq. 6, where T_s = 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.distillation import classes, transport
from trainables.settings import GraphSettings


class Said(NamedTuple):
    """Of a batch: logits of the student (B, c) and of the teachers (n, B, c), the temperatures T_k (n,) of these, the labels
    (B,), each teacher's ground metric between classes (n, c, c), which `class_em` alone reads (None: 0 and 1), features
    (B, F) of the student and then of each teacher, which learned edges alone read, and what is `begun` of the distance."""

    student: Tensor
    teachers: Tensor
    temperatures: Tensor
    labels: Tensor
    ground: Tensor | None = None
    features: Sequence[Tensor] = ()
    assignments: transport.Assignments | None = None

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
    between = between_samples(said, settings)
    paid = transport.earth_mover(said.softened, said.predicted(settings), between, said.assignments)
    return Distances(paid.mean(-1), paid)


def begun(said: Said, settings: GraphSettings) -> Said:
    """The same with what of a distance the host can be asked for before the device is given other work: the plans of `em`."""
    if settings.distance != "em":
        return said
    between = between_samples(said, settings)
    return said._replace(assignments=transport.begin(said.softened, said.predicted(settings), between))


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


def mixture(said: Said, shares: Tensor, settings: GraphSettings) -> Said:
    """The same with other teachers, of temperature 1: (1 - mixing) of each one's prediction and mixing of what flows into it,
    in shares (n, m) or (n, m, B) of teacher n at m. What is mixed is what the distance compares: logits of `cosine`."""
    flow = "nm,nbc->mbc" if shares.dim() == 2 else "nmb,nbc->mbc"
    own = said.teachers if settings.distance == "cosine" else said.softened
    mixed = (1 - settings.mixing) * own + settings.mixing * torch.einsum(flow, shares, own)
    if settings.distance != "cosine":
        mixed = mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()
    return said._replace(teachers=mixed, temperatures=torch.ones_like(said.temperatures), assignments=None)


def check_said(student: Tensor, teachers: Tensor, labels: Tensor, tasks: Sequence[str]) -> None:
    """Raises ValueError where logits and labels of a batch do not belong together."""
    if len(teachers) != len(tasks):
        raise ValueError(f"logits of {len(teachers)} teachers; there are {len(tasks)}: {', '.join(tasks)}")
    if student.shape[1] != teachers.shape[2]:
        raise ValueError(
            f"the student has {student.shape[1]} classes and the teachers {teachers.shape[2]}: they must be the same"
        )
    if len(student) != teachers.shape[1]:
        raise ValueError(f"the student saw {len(student)} samples and the teachers {teachers.shape[1]}: they must be the same")
    if len(labels) != len(student):
        raise ValueError(f"{len(labels)} labels of {len(student)} samples: there must be one of each")
    if len(student) < 2:
        raise ValueError("a batch of one sample: distances between predictions on a batch need two at least")


def between_samples(said: Said, settings: GraphSettings) -> Tensor:
    """alpha d(x_i, x_j) (B, B): d is 0 between a sample and itself, or between samples of a label, else 1."""
    if settings.sample_cost == 0:
        return said.student.new_zeros(len(said.labels), len(said.labels))
    marks = said.labels if settings.sample_cost_of == "label" else torch.arange(len(said.labels), device=said.labels.device)
    return settings.sample_cost * (marks[:, None] != marks).to(said.student.dtype)


def single(values: Tensor) -> Tensor:
    """In float32, or as they are where they are more precise: losses of bfloat16 values would not show small distances."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
