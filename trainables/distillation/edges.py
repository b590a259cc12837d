"""Edges e_{n->m} of the logits graph (Eq. 4), for which the paper gives no formula: how much of teacher n's distance from the
student counts on its way to vertex m.

Edges into a vertex sum to one, and none starts where it ends, but for a single teacher's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.distillation.distances import Distances, Said, single
from trainables.distillation.teachers import Teachers
from trainables.settings import GraphSettings


class Weighed(NamedTuple):
    """Edges at [n, m] (n, m), or of each sample (n, m, B); the weights that they give the distances; what is added to the loss
    for them, if anything."""

    edges: Tensor
    weights: Tensor
    penalty: Tensor | None = None


class Edges(nn.Module):
    """Takes the distances, and what was said. student_features: the length of the student's features."""

    exists: Tensor

    def __init__(self, settings: GraphSettings, teachers: Teachers, student_features: int) -> None:
        super().__init__()
        self.settings = settings
        count = len(teachers.tasks)
        self.register_buffer("exists", ~torch.eye(count, dtype=torch.bool) | (count == 1), persistent=False)

    def incoming_softmax(self, logits: Tensor, temperature: float) -> Tensor:
        """Softmax of logits (n, n) or (n, n, B) over the edges into each vertex."""
        exists = self.exists if logits.dim() == 2 else self.exists[..., None]
        return (logits / temperature).masked_fill(~exists, -torch.inf).softmax(0)

    def uniform(self) -> Tensor:
        return self.exists / self.exists.sum(0)

    def forward(self, distances: Distances, said: Said) -> Weighed:
        raise NotImplementedError


class UniformEdges(Edges):
    """1 / (n - 1): the loss is the sum of the distances."""

    def forward(self, distances: Distances, said: Said) -> Weighed:
        return Weighed(self.uniform(), self.uniform())


class GainEdges(Edges):
    """Complementary gain from the student's imitation feedback: softmax over n of (l_m - l_n) / T. As l_m is the same for all
    edges into m, teachers that the student imitates well get more weight; with the other sign, those that it imitates badly.
    With two teachers there is one edge into each, of weight one.

    l are running means of the distances, which training moves on and the first batch starts; before it the edges are uniform.
    Or they are each sample's own.
    """

    running_means: Tensor
    started: Tensor

    def __init__(self, settings: GraphSettings, teachers: Teachers, student_features: int) -> None:
        super().__init__(settings, teachers, student_features)
        self.register_buffer("running_means", torch.zeros(len(teachers.tasks)))
        self.register_buffer("started", torch.zeros(()))

    def forward(self, distances: Distances, said: Said) -> Weighed:
        losses = distances.of_samples.detach() if self.settings.gain_of == "sample" else self._followed(distances)
        gains = losses[None] - losses[:, None]
        if self.settings.gain_sign == "imitated_badly":
            gains = -gains
        edges = self.incoming_softmax(gains, self.settings.temperature_of_edges)
        return Weighed(edges, edges)

    def _followed(self, distances: Distances) -> Tensor:
        if self.training:
            kept = self.settings.gain_momentum * self.started
            self.running_means.copy_(kept * self.running_means + (1 - kept) * distances.of_batch.detach())
            self.started.fill_(1)
        return self.running_means


class GlobalEdges(Edges):
    """Learned logits with a prior, one for each edge: it weighs e + prior, so that the weights into a vertex sum to 2, and
    prior_weight (e - prior)^2 of all edges is added to the loss. The prior is uniform."""

    def __init__(self, settings: GraphSettings, teachers: Teachers, student_features: int) -> None:
        super().__init__(settings, teachers, student_features)
        self.adjacency = nn.Parameter(torch.zeros(len(teachers.tasks), len(teachers.tasks)))

    def forward(self, distances: Distances, said: Said) -> Weighed:
        edges, prior = self.incoming_softmax(self.adjacency, self.settings.temperature_of_edges), self.uniform()
        return Weighed(edges, edges + prior, self.settings.prior_weight * (edges - prior).square().sum())


class LearnedEdges(Edges):
    """Edges of each sample from its logits and features by a small network, as MMGD's (google/graph_distillation).

    The only vertex is the network that learns, the student: z of it and of each teacher is [W_logit logits, W_feature
    features], and an edge (n, 1, B) the softmax over n of W_edge [z_student, z_n] / T. It weighs e + 1 / n, and prior_weight
    (e - 1 / n)^2 of the batch's mean e is added. W_logit is shared by all; unlike MMGD's, W_feature is not, as features differ
    in length.
    """

    def __init__(self, settings: GraphSettings, teachers: Teachers, student_features: int) -> None:
        super().__init__(settings, teachers, student_features)
        units, (classes, _) = settings.edge_units, teachers.prototypes[0].shape
        self.of_logits = nn.Linear(classes, units)
        lengths = [student_features, *(rows.shape[1] for rows in teachers.prototypes)]
        self.of_features = nn.ModuleList(nn.Linear(length, units) for length in lengths)
        self.edge = nn.Linear(4 * units, 1)

    def forward(self, distances: Distances, said: Said) -> Weighed:
        logits = [said.student, *said.teachers]
        seen = [
            torch.cat([self.of_logits(own), of_features(single(features))], dim=1)
            for own, features, of_features in zip(logits, said.features, self.of_features, strict=True)
        ]
        scores = torch.cat([self.edge(torch.cat([seen[0], of_teacher], dim=1)) for of_teacher in seen[1:]], dim=1)
        edges = (scores / self.settings.temperature_of_edges).softmax(1).T[:, None]
        prior = 1 / len(edges)
        return Weighed(edges, edges + prior, self.settings.prior_weight * (edges.mean(2) - prior).square().sum())


EDGES: dict[str, type[Edges]] = {
    "uniform": UniformEdges,
    "gain": GainEdges,
    "learned": LearnedEdges,
    "learned_global": GlobalEdges,
}
