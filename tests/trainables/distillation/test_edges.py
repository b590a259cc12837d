"""Edges of the logits graph: by hand and against their formulas, whom they turn to, what training moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.distillation.distances import Distances, Said
from trainables.distillation.edges import Edges, GainEdges, GlobalEdges, LearnedEdges, UniformEdges, Weighed
from trainables.distillation.teachers import Teachers
from trainables.settings import GraphSettings

TEACHERS = Teachers(("sorting", "ego_motion", "prediction"), (), [torch.zeros(5, 6), torch.zeros(5, 6), torch.zeros(5, 2)])
FEATURES = 4
"""The student's."""


def of_samples(values: list[list[float]]) -> Distances:
    found = torch.tensor(values)
    return Distances(found.mean(1), found)


def distances(values: list[float]) -> Distances:
    """Of a batch of two samples that have these distances both."""
    return of_samples([[value, value] for value in values])


def said(batch: int = 2, seed: int = 0) -> Said:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    features = [drawn(batch, FEATURES), *(drawn(batch, rows.shape[1]) for rows in TEACHERS.prototypes)]
    return Said(drawn(batch, 5), drawn(3, batch, 5), torch.ones(3), torch.arange(batch), None, features)


def make(kind: type[Edges], **settings: Any) -> Edges:
    return kind(GraphSettings.model_validate(settings), TEACHERS, FEATURES)


def test_gains_by_hand() -> None:
    """l = (0, T ln 2, T ln 4): weights 1, 1/2, 1/4, of which those into a vertex are normalised; the other sign: 1, 2, 4."""
    losses = (0.5 * torch.log(torch.tensor([1.0, 2.0, 4.0]))).tolist()
    well = make(GainEdges, edge_temperature=0.5)(distances(losses), said())
    expected = [[0, 4 / 5, 2 / 3], [2 / 3, 0, 1 / 3], [1 / 3, 1 / 5, 0]]
    assert well.edges.numpy() == pytest.approx(np.array(expected), rel=1e-6)
    assert torch.equal(well.weights, well.edges) and well.penalty is None
    badly = make(GainEdges, edge_temperature=0.5, gain_sign="imitated_badly")(distances(losses), said())
    expected = [[0, 1 / 5, 1 / 3], [1 / 3, 0, 2 / 3], [2 / 3, 4 / 5, 0]]
    assert badly.edges.numpy() == pytest.approx(np.array(expected), rel=1e-6)


def test_gains_of_a_sample_are_those_of_a_batch_of_it() -> None:
    """And of nothing that was before."""
    values = [[0.1, 0.5, 0.2], [0.3, 0.1, 0.2], [0.2, 0.6, 0.2]]
    edges = make(GainEdges, gain_of="sample")
    edges(distances([5.0, 1.0, 1.0]), said())
    found = edges(of_samples(values), said(3)).edges
    assert found.shape == (3, 3, 3)
    for sample in range(3):
        alone = make(GainEdges)(distances([of_teacher[sample] for of_teacher in values]), said()).edges
        assert found[..., sample].numpy() == pytest.approx(alone.numpy(), rel=1e-5)
    assert found[..., 2].numpy() == pytest.approx((1 - np.eye(3)) / 2, rel=1e-6), "equal distances"
    assert edges.running_means.tolist() == [0, 0, 0]


def test_gains_follow_training_only() -> None:
    edges = make(GainEdges, gain_momentum=0.9)
    uniform = (1 - np.eye(3)) / 2
    assert edges.eval()(distances([1.0, 2.0, 3.0]), said())[0].numpy() == pytest.approx(uniform), "before the first batch"
    edges.train()(distances([1.0, 2.0, 3.0]), said())
    edges.eval()(distances([9.0, 9.0, 9.0]), said())
    assert edges.running_means.tolist() == [1, 2, 3]
    edges.train()(distances([2.0, 2.0, 2.0]), said())
    assert edges.running_means.tolist() == pytest.approx([1.1, 2.0, 2.9])


def test_global_edges_and_their_prior_against_the_formula() -> None:
    edges = make(GlobalEdges, edge_temperature=0.5, prior_weight=10)
    with torch.no_grad():
        edges.adjacency.copy_(torch.tensor([[9.0, 0.2, -0.1], [0.5, 9.0, 0.3], [0.1, -0.4, 9.0]]))
    found = edges(distances([0.3, 0.7, 0.2]), said())
    exponential = np.exp(edges.adjacency.detach().double().numpy() / 0.5) * (1 - np.eye(3))
    e, prior = exponential / exponential.sum(0), (1 - np.eye(3)) / 2
    assert found.edges.detach().numpy() == pytest.approx(e, rel=1e-5)
    assert found.weights.detach().numpy() == pytest.approx(e + prior, rel=1e-5)
    assert found.penalty is not None
    assert float(found.penalty.detach()) == pytest.approx(10 * ((e - prior) ** 2).sum(), rel=1e-5)
    found.penalty.backward()
    assert edges.adjacency.grad is not None
    assert edges.adjacency.grad.diagonal().tolist() == [0, 0, 0], "no edge starts where it ends"
    assert edges.adjacency.grad.abs().sum() > 0


def test_learned_edges_against_the_formula() -> None:
    """The released network written out in float64, sample by sample: z of logits and features, an edge of two z."""
    torch.manual_seed(0)
    edges = make(LearnedEdges, edges="learned", edge_units=3, prior_weight=10)
    batch = said(4)
    found = edges(distances([0.0, 0.0, 0.0]), batch)
    weight = {name: value.detach().double().numpy() for name, value in edges.named_parameters()}

    def z(logits: Tensor, features: Tensor, number: int) -> np.ndarray:
        of_logits = weight["of_logits.weight"] @ logits.double().numpy() + weight["of_logits.bias"]
        own = f"of_features.{number}"
        return np.concatenate([of_logits, weight[f"{own}.weight"] @ features.double().numpy() + weight[f"{own}.bias"]])

    expected = np.zeros((3, 4))
    for sample in range(4):
        student = z(batch.student[sample], batch.features[0][sample], 0)
        of_teachers = [z(batch.teachers[n, sample], batch.features[n + 1][sample], n + 1) for n in range(3)]
        scores = [weight["edge.weight"][0] @ np.concatenate([student, one]) + weight["edge.bias"][0] for one in of_teachers]
        exponential = np.exp(np.array(scores) / 8)
        expected[:, sample] = exponential / exponential.sum()
    assert found.edges.shape == (3, 1, 4)
    assert found.edges[:, 0].detach().numpy() == pytest.approx(expected, rel=1e-5)
    assert found.weights[:, 0].detach().numpy() == pytest.approx(expected + 1 / 3, rel=1e-5)
    assert found.penalty is not None
    assert float(found.penalty.detach()) == pytest.approx(10 * ((expected.mean(1) - 1 / 3) ** 2).sum(), rel=1e-4)
    assert np.ptp(expected, axis=1).max() > 1e-3, "samples differ"


def after(edges: Edges, steps: int, values: Distances, batch: Said, rate: float) -> Weighed:
    """Gradient descent on the edges alone, for the mean over samples of weights times distances."""
    optimiser = torch.optim.SGD(edges.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        _, weights, penalty = edges(values, batch)
        by_sample = weights.sum(1) if weights.dim() == 3 else weights.sum(1, keepdim=True)
        loss = (by_sample * values.of_samples).mean(1).sum()
        (loss if penalty is None else loss + penalty).backward()
        optimiser.step()
    return edges(values, batch)


def test_global_edges_turn_to_the_nearer_teacher() -> None:
    """From uniform: the prior holds them back but not where they are."""
    found = after(make(GlobalEdges, edge_temperature=1.0), 50, distances([0.1, 0.5, 0.9]), said(), 0.1)
    shares = found.edges.mean(1).tolist()
    assert shares[0] > 1 / 3 + 0.005 > 1 / 3 > shares[2]


def test_learned_edges_turn_to_the_nearer_teacher_of_each_sample() -> None:
    """Which global ones cannot; the prior, which is about their mean, leaves them free to."""
    torch.manual_seed(0)
    values = of_samples([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]])
    found = after(make(LearnedEdges, edges="learned"), 300, values, said(), 0.3).edges[:, 0].detach()
    assert found[:, 0].argmax() == 0 and found[:, 1].argmax() == 2
    assert found.amax(0).min() > 0.6
    assert (found.mean(1) - 1 / 3).abs().max() < 0.15


def test_the_temperature_is_each_kind_s_own_unless_one_is_given() -> None:
    for kind, expected in (("gain", 0.1), ("learned_global", 0.1), ("learned", 8.0)):
        assert GraphSettings.model_validate({"edges": kind}).temperature_of_edges == expected
        assert GraphSettings.model_validate({"edges": kind, "edge_temperature": 3.0}).temperature_of_edges == 3.0


@pytest.mark.parametrize("kind", [UniformEdges, GainEdges, GlobalEdges, LearnedEdges])
@pytest.mark.parametrize("of", ["running_means", "sample"])
def test_edges_into_a_vertex_sum_to_one_and_none_starts_where_it_ends(kind: type[Edges], of: str) -> None:
    found = make(kind, gain_of=of)(of_samples([[0.1, 0.4], [0.2, 0.3], [0.9, 0.0]]), said()).edges.detach()
    torch.testing.assert_close(found.sum(0), torch.ones(found.shape[1:]))
    if kind is not LearnedEdges:
        assert float(found.diagonal().abs().max()) == 0
