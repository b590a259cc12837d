"""Logits graph distillation, G_l (Sec. 4.2, Eqs. 2-6).

Every vertex is a teacher, and e_{n->m} weighs the distance of teacher n from the student on its way to vertex m. Eq. 4 sums
over all of them, so the loss is n times a weighted mean of the n distances; with `graph.vertices: mean` it is that mean.

With `graph.targets: mixed` what flows into a vertex changes its prediction, and the student's distance from the changed ones is
the loss: sum over m of W_m d(student, (1 - mixing) mu_m + mixing sum over n of w_{n->m} / W_m mu_n), where w are the weights of
the edges and W_m their sum at m (1, or 2 with a prior). It is the reading in which "teachers dynamicly adjust their logits
distribution": the edges into each vertex act for themselves, not by their sum over vertices alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.distillation.classes import between_prototypes
from trainables.distillation.distances import DISTANCES, Distances, Said, begun, check_said, mixture, single
from trainables.distillation.edges import EDGES
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.encoder import Outputs
from trainables.settings import GraphSettings


class LogitsGraph(nn.Module):
    """G_l. The state of its edges is in buffers and parameters, so that it is kept in checkpoints.

    student_features: the length of the student's features, of which edges may be made.
    """

    temperatures: Tensor
    ground: Tensor | None

    def __init__(self, settings: GraphSettings, teachers: Teachers, student_features: int = 0) -> None:
        super().__init__()
        self.settings, self.tasks = settings, tuple(teachers.tasks)
        self.distance = DISTANCES[settings.distance]
        self.edges = EDGES[settings.edges](settings, teachers, student_features)
        temperatures = torch.tensor([settings.temperature(task) for task in self.tasks])
        self.register_buffer("temperatures", temperatures, persistent=False)
        by_prototypes = settings.distance == "class_em" and settings.ground == "prototypes"
        self.register_buffer("ground", between_prototypes(teachers.prototypes) if by_prototypes else None, persistent=False)

    def forward(self, student: Outputs, answers: Answers, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """labels (B,) of the samples. Returns the loss (scalar) and metrics: `distance_<task>`, and `edge_<task>`, the share of
        all edges that starts at this teacher; of edges of each sample `edge_spread_<task>`, the deviation of this share over
        the samples. ValueError where what was said does not belong together."""
        return self.start(student, answers, labels)()

    def start(self, student: Outputs, answers: Answers, labels: Tensor) -> Callable[[], tuple[Tensor, dict[str, Tensor]]]:
        """As `forward`, whose answer is given when it is asked for: what a device is given before that it computes while the
        host looks for exact plans."""
        logits, teachers = single(student.logits), single(answers.logits.detach())
        check_said(logits, teachers, labels, self.tasks)
        self._check_ground(logits.shape[1])
        with torch.autocast(logits.device.type, enabled=False):
            features = (student.features, *answers.features)
            said = begun(Said(logits, teachers, self.temperatures, labels, self.ground, features), self.settings)
        return functools.partial(self._finished, said)

    def _finished(self, said: Said) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(said.student.device.type, enabled=False):
            distances = self.distance(said, self.settings)
            edges, weights, penalty = self.edges(distances, said)
            loss = self._flow(weights, distances, said)
            if penalty is not None:
                loss = loss + penalty
            if self.settings.vertices == "mean":
                loss = loss / weights.shape[1]
        shares = edges.detach().flatten(1).mean(1)
        metrics = {f"distance_{task}": value for task, value in zip(self.tasks, distances.of_batch.detach(), strict=True)}
        metrics |= {f"edge_{task}": share for task, share in zip(self.tasks, shares, strict=True)}
        if edges.dim() == 3:
            spreads = edges.detach().mean(1).std(1)
            metrics |= {f"edge_spread_{task}": spread for task, spread in zip(self.tasks, spreads, strict=True)}
        return loss, metrics

    def _flow(self, weights: Tensor, distances: Distances, said: Said) -> Tensor:
        """Eq. 4, the sum over vertices, with weights (n, m) or of each sample (n, m, B)."""
        if self.settings.targets == "own":
            arriving, of_vertices = weights.sum(1), distances
        else:
            arriving = weights.sum(0)
            of_vertices = self.distance(mixture(said, weights / arriving, self.settings), self.settings)
        if arriving.dim() == 1:
            return (arriving * of_vertices.of_batch).sum()
        return (arriving * of_vertices.of_samples).mean(1).sum()

    def _check_ground(self, classes: int) -> None:
        if self.ground is not None and self.ground.shape != (len(self.tasks), classes, classes):
            raise ValueError(
                f"a ground metric of shape {tuple(self.ground.shape)}; {len(self.tasks)} teachers and {classes} classes need "
                f"{(len(self.tasks), classes, classes)}: rows of each teacher's last layer, one for each class"
            )
