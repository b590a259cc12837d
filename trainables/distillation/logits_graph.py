"""Logits graph distillation, G_l (Sec. 4.2, Eqs. 2-6), and the plain average of the teachers that it is compared with.

Every vertex is a teacher, and e_{n->m} weighs the distance of teacher n from the student on its way to vertex m. The edges into
a vertex sum to one and none starts where it ends, but for a single teacher's. Eq. 4 sums over all of them, so the loss
is n times a weighted mean of the n distances; with `graph.vertices: mean` it is that mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.classes import between_prototypes
from trainables.distillation.distances import DISTANCES, Said, single
from trainables.settings import GraphSettings


class LogitsGraph(nn.Module):
    """G_l. The state of its edges is in buffers and parameters, so that it is kept in checkpoints.

    prototypes: of each teacher the rows of its last layer (c, F), where `class_em` measures classes by them.
    """

    temperatures: Tensor
    ground: Tensor | None

    def __init__(self, settings: GraphSettings, tasks: Sequence[str], prototypes: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.settings, self.tasks = settings, tuple(tasks)
        self.distance = DISTANCES[settings.distance]
        self.edges = EDGES[settings.edges](settings, len(self.tasks))
        self.register_buffer("temperatures", _temperatures(settings, self.tasks), persistent=False)
        self.register_buffer("ground", between_prototypes(prototypes) if prototypes else None, persistent=False)

    def forward(self, student: Tensor, teachers: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """student (B, c) and teachers (n, B, c): logits of samples with labels (B,). Returns the loss (scalar) and metrics:
        `distance_<task>`, and `edge_<task>`, the share of all edges that starts at this teacher. ValueError where these do not
        belong together."""
        _check(student, teachers, labels, self.tasks)
        self._check_ground(student.shape[1])
        with torch.autocast(student.device.type, enabled=False):
            said = Said(single(student), single(teachers.detach()), self.temperatures, labels, self.ground)
            distances = self.distance(said, self.settings).of_batch
            edges, loss = self.edges(distances)
        shares = edges.detach().mean(1)
        metrics = {f"distance_{task}": value for task, value in zip(self.tasks, distances.detach(), strict=True)}
        metrics |= {f"edge_{task}": share for task, share in zip(self.tasks, shares, strict=True)}
        return loss, metrics

    def _check_ground(self, classes: int) -> None:
        if self.ground is not None and self.ground.shape != (len(self.tasks), classes, classes):
            raise ValueError(
                f"a ground metric of shape {tuple(self.ground.shape)}; {len(self.tasks)} teachers and {classes} classes need "
                f"{(len(self.tasks), classes, classes)}: rows of each teacher's last layer, one for each class"
            )


class AveragedPredictions(nn.Module):
    """Knowledge distillation from the mean of the teachers' softened predictions: KL(mean_k mu_k || eta), batch mean."""

    temperatures: Tensor

    def __init__(self, settings: GraphSettings, tasks: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.tasks = settings, tuple(tasks)
        self.register_buffer("temperatures", _temperatures(settings, self.tasks), persistent=False)

    def forward(self, student: Tensor, teachers: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As of LogitsGraph, without metrics."""
        _check(student, teachers, labels, self.tasks)
        with torch.autocast(student.device.type, enabled=False):
            mean = (single(teachers.detach()) / self.temperatures[:, None, None]).softmax(-1).mean(0)
            prediction = F.log_softmax(single(student) / self.settings.student_temperature, dim=-1)
            return F.kl_div(prediction, mean, reduction="batchmean"), {}


class Edges(nn.Module):
    """Edges between n teachers. They take the distances (n,) and return e_{n->m} at [n, m] (n, n), and the loss of Eq. 4."""

    exists: Tensor

    def __init__(self, settings: GraphSettings, teachers: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("exists", ~torch.eye(teachers, dtype=torch.bool) | (teachers == 1), persistent=False)

    def incoming_softmax(self, logits: Tensor) -> Tensor:
        """Softmax of logits (n, n) at the edge temperature, over the edges into each vertex."""
        return (logits / self.settings.edge_temperature).masked_fill(~self.exists, -torch.inf).softmax(0)

    def uniform(self) -> Tensor:
        return self.exists / self.exists.sum(0)

    def flow(self, weights: Tensor, distances: Tensor) -> Tensor:
        """Eq. 4: sum (or mean) over vertices m of the sum over n of weight[n, m] * distance[n]."""
        total = (weights.sum(1) * distances).sum()
        return total / len(distances) if self.settings.vertices == "mean" else total


class UniformEdges(Edges):
    """1 / (n - 1): the loss is the sum of the distances."""

    def forward(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        edges = self.uniform()
        return edges, self.flow(edges, distances)


class GainEdges(Edges):
    """Complementary gain from the student's imitation feedback: softmax over n of (l_m - l_n) / T, l being running means of
    the distances, which training moves on and the first batch starts.

    As l_m is the same for all edges into m, teachers that the student imitates well get more weight; with two teachers there
    is one edge into each, of weight one. Before the first batch the edges are uniform.
    """

    running_means: Tensor
    started: Tensor

    def __init__(self, settings: GraphSettings, teachers: int) -> None:
        super().__init__(settings, teachers)
        self.register_buffer("running_means", torch.zeros(teachers))
        self.register_buffer("started", torch.zeros(()))

    def forward(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            self._follow(distances.detach())
        gains = self.running_means[None, :] - self.running_means[:, None]
        edges = self.incoming_softmax(gains)
        return edges, self.flow(edges, distances)

    def _follow(self, distances: Tensor) -> None:
        kept = self.settings.gain_momentum * self.started
        self.running_means.copy_(kept * self.running_means + (1 - kept) * distances)
        self.started.fill_(1)


class LearnedEdges(Edges):
    """Learned logits with a prior, as MMGD (google/graph_distillation): an edge weighs e + prior, so that the weights into a
    vertex sum to 2, and prior_weight * (e - prior)^2 of all edges is added to the loss. The prior is uniform.

    Unlike MMGD's, the logits are parameters of their own and not a function of the sample.
    """

    def __init__(self, settings: GraphSettings, teachers: int) -> None:
        super().__init__(settings, teachers)
        self.adjacency = nn.Parameter(torch.zeros(teachers, teachers))

    def forward(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        edges, prior = self.incoming_softmax(self.adjacency), self.uniform()
        penalty = self.settings.prior_weight * (edges - prior).square().sum()
        return edges, self.flow(edges + prior, distances) + penalty


EDGES: dict[str, type[Edges]] = {"uniform": UniformEdges, "gain": GainEdges, "learned": LearnedEdges}


def _temperatures(settings: GraphSettings, tasks: Sequence[str]) -> Tensor:
    return torch.tensor([settings.temperature(task) for task in tasks])


def _check(student: Tensor, teachers: Tensor, labels: Tensor, tasks: Sequence[str]) -> None:
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
