"""Representation graph distillation, G_r (Sec. 4.3, Eqs. 7-10), and the uniform imitation of the teachers' own maps.

A vertex is a pair of teachers, joined by compact bilinear pooling at every location, or a single teacher's map. Its channels
and the student's are compared as two sets: each channel, a distribution over locations, is one vector of Eq. 9.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.bilinear import CompactBilinear, of_one_norm
from trainables.distillation.distances import single
from trainables.distillation.mmd import squared_mmd
from trainables.settings import GraphSettings
from trainables.settings.graph import VertexNorm


class RepresentationGraph(nn.Module):
    """G_r, or each teacher's own map as a vertex of equal weight (`representation: single`).

    channels: of each teacher's map. Hashes of the sketches are drawn from torch's global generator and kept in buffers.
    Raises ValueError for a graph of fewer than two teachers.
    """

    def __init__(self, settings: GraphSettings, channels: Sequence[int]) -> None:
        super().__init__()
        self.settings, self.channels = settings, tuple(channels)
        teachers = len(self.channels)
        count = len(settings.vertex_names([str(number) for number in range(teachers)]))
        self.temperatures = per_vertex(settings.vertex_temperature, count)
        self.vertices: nn.Module
        self.edges: nn.Module
        if settings.representation == "single":
            self.vertices, self.edges = OwnMaps(settings.vertex_norm), UniformEdges(settings, count)
        elif teachers < 2:
            raise ValueError(
                f"a representation graph of {teachers} teacher: its vertices are pairs, so it needs two; "
                "'representation: single' takes each teacher's own map"
            )
        else:
            self.vertices = CompactBilinear(self.channels, settings.sketch, settings.vertex_norm)
            self.edges = EDGES[settings.representation_edges](settings, count)

    def forward(self, student: Tensor, teachers: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """student (B, C_s, h, w); teachers: maps (B, C_k, h_k, w_k), brought to (h, w) by adaptive average pooling.

        Returns the loss of Eq. 10 (scalar) and metrics: `mmd_<k>` of vertex k and `vertex_<k>`, its weight; k from 1, pairs
        in the order of itertools.combinations. Raises ValueError for maps with other channels than were announced.
        """
        channels = tuple(each.shape[1] for each in teachers)
        if channels != self.channels:
            raise ValueError(f"maps of the teachers have {list(channels)} channels; {list(self.channels)} were announced")
        with torch.autocast(student.device.type, enabled=False):
            student = single(student)
            maps = [self._pooled(each, student) for each in teachers]
            heated = zip(self.vertices(maps), self.temperatures, strict=True)
            vertices = [(vertex / temperature).flatten(2).softmax(2) for vertex, temperature in heated]
            weights, of_channels = self.edges()
            compared = student if self.settings.student_map == "raw" else of_one_norm(student, "map")
            imitating = compared.flatten(2).softmax(2)
            discrepancies = torch.stack(
                [
                    squared_mmd(imitating, vertex, self.settings.bandwidth, of_vertex)
                    for vertex, of_vertex in zip(vertices, of_channels, strict=True)
                ]
            )
            loss = (weights * discrepancies).sum()
        found = enumerate(zip(discrepancies.detach(), weights.detach(), strict=True), start=1)
        return loss, {name: value for k, (mmd, weight) in found for name, value in ((f"mmd_{k}", mmd), (f"vertex_{k}", weight))}

    @staticmethod
    def _pooled(teacher: Tensor, student: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(teacher.detach().to(student.dtype), (student.shape[2], student.shape[3]))


def per_vertex(temperature: float | Sequence[float], count: int) -> list[float]:
    """One temperature for each vertex, given one for all or as many. Raises ValueError for another number of them."""
    found = [temperature] * count if isinstance(temperature, float | int) else list(temperature)
    if len(found) != count:
        raise ValueError(f"{len(found)} temperatures of a representation graph of {count} vertices")
    return found


class OwnMaps(nn.Module):
    """Each teacher's map (B, C_k, h, w), `of_one_norm` as vertices of G_r are."""

    def __init__(self, norm: VertexNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [of_one_norm(each, self.norm) for each in maps]


def edge_temperatures(settings: GraphSettings, vertices: int) -> Tensor:
    """T of Eq. 10 (V,)."""
    return torch.tensor(per_vertex(settings.representation_edge_temperature, vertices))


class VertexEdges(nn.Module):
    """softmax(G_r / T) of Eq. 10, one learned logit per vertex, which start equal; T may be one per vertex.

    Edges return the weights of the vertices (V,), which sum to one, and for each vertex those of its channels (e,), or None
    where they are equal.
    """

    temperatures: Tensor

    def __init__(self, settings: GraphSettings, vertices: int) -> None:
        super().__init__()
        self.register_buffer("temperatures", edge_temperatures(settings, vertices), persistent=False)
        self.logits = nn.Parameter(torch.zeros(vertices))

    def forward(self) -> tuple[Tensor, Sequence[Tensor | None]]:
        return (self.logits / self.temperatures).softmax(0), [None] * len(self.logits)


class UniformEdges(nn.Module):
    """1 / V."""

    weights: Tensor

    def __init__(self, settings: GraphSettings, vertices: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((vertices,), 1 / vertices), persistent=False)

    def forward(self) -> tuple[Tensor, Sequence[Tensor | None]]:
        return self.weights, [None] * len(self.weights)


class DimensionEdges(nn.Module):
    """Edges that are vectors (Sec. 4.3): E = softmax(G_r / T) over the vertices for every channel of the sketch on its own. A
    vertex weighs the mean of its vector; in its MMD the channels weigh as the vector says."""

    temperatures: Tensor

    def __init__(self, settings: GraphSettings, vertices: int) -> None:
        super().__init__()
        self.register_buffer("temperatures", edge_temperatures(settings, vertices)[:, None], persistent=False)
        self.logits = nn.Parameter(torch.zeros(vertices, settings.sketch))

    def forward(self) -> tuple[Tensor, Sequence[Tensor | None]]:
        edges = (self.logits / self.temperatures).softmax(0)
        return edges.mean(1), list(edges / edges.sum(1, keepdim=True))


EDGES: dict[str, type[VertexEdges | UniformEdges | DimensionEdges]] = {
    "uniform": UniformEdges,
    "vertex": VertexEdges,
    "dimension": DimensionEdges,
}
