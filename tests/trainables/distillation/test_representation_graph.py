"""The representation graph: the whole loss, for each kind of edges, against numpy in float64; state, metrics, wrong input."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.distillation.bilinear import of_one_norm
from trainables.distillation.mmd import median_square
from trainables.distillation.representation_graph import RepresentationGraph
from trainables.settings import GraphSettings

CHANNELS = (4, 5, 3)
SKETCH = 8
OLD = {"vertex_norm": "location", "vertex_temperature": 0.05}


def graph(channels: tuple[int, ...] = CHANNELS, **values: Any) -> RepresentationGraph:
    torch.manual_seed(0)
    return RepresentationGraph(
        GraphSettings.model_validate({"sketch": SKETCH, "bandwidth": 0.2, "vertex_temperature": 1.0, **values}), channels
    )


def maps(sides: tuple[int, ...] = (4, 4, 4), side: int = 4) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(2, 6, side, side, generator=generator)
    return student, [torch.randn(2, c, s, s, generator=generator) for c, s in zip(CHANNELS, sides, strict=True)]


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    exponential = np.exp(values - values.max(axis, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis, keepdims=True))


def unit(values: np.ndarray, norm: str = "map") -> np.ndarray:
    """Length 1 at each location, or root mean square 1 over all channels and locations of a sample."""
    over = np.square(values).sum(1, keepdims=True) if norm == "location" else np.square(values).mean((1, 2, 3), keepdims=True)
    return np.asarray(values / np.sqrt(over))


def pairs(found: RepresentationGraph, teachers: list[Tensor], norm: str = "map") -> list[np.ndarray]:
    """Eqs. 7: the sketch of the outer product at every location, without FFT, from the hashes that the graph drew."""
    state = found.state_dict()
    vertices = []
    for one, other in itertools.combinations(range(len(teachers)), 2):
        x, y = teachers[one].double().numpy(), teachers[other].double().numpy()
        h1, h2 = (state[f"vertices.sketches.{k}.places"].tolist() for k in (one, other))
        s1, s2 = (state[f"vertices.sketches.{k}.signs"].tolist() for k in (one, other))
        vertex = np.zeros((len(x), SKETCH, *x.shape[2:]))
        for i, j in itertools.product(range(x.shape[1]), range(y.shape[1])):
            vertex[:, (h1[i] + h2[j]) % SKETCH] += s1[i] * s2[j] * x[:, i] * y[:, j]
        vertices.append(unit(np.sign(vertex) * np.sqrt(np.abs(vertex)), norm))
    return vertices


def discrepancy(student: Tensor, vertex: np.ndarray, weights: np.ndarray | None = None, temperature: float = 1.0) -> float:
    """Eqs. 8 and 9 at sigma = 0.2."""
    imitating = softmax(student.double().numpy().reshape(2, 6, -1), 2)
    target = softmax(vertex.reshape(*vertex.shape[:2], -1) / temperature, 2)
    v = np.full(target.shape[1], 1 / target.shape[1]) if weights is None else weights
    found = []
    for xs, ys in zip(imitating, target, strict=True):

        def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return np.asarray(np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * 0.2**2)))

        found.append(kernel(xs, xs).mean() + v @ kernel(ys, ys) @ v - 2 * (kernel(xs, ys) @ v).mean())
    return float(np.mean(found))


@pytest.mark.parametrize(("norm", "temperature"), [("map", 1.0), ("map", 0.3), ("location", 0.05)])
@pytest.mark.parametrize("edges", ["vertex", "uniform"])
def test_the_loss_against_the_formulas_in_float64(edges: str, norm: str, temperature: float) -> None:
    values = {"vertex_norm": norm, "vertex_temperature": temperature}
    found = graph(representation_edges=edges, representation_edge_temperature=0.5, **values)
    weights = np.full(3, 1 / 3)
    if edges == "vertex":
        with torch.no_grad():
            found.edges.logits.copy_(torch.tensor([0.3, -0.2, 0.1]))
        weights = softmax(np.array([0.3, -0.2, 0.1]) / 0.5, 0)
    student, teachers = maps()
    loss, metrics = found(student, teachers)
    expected = [discrepancy(student, vertex, temperature=temperature) for vertex in pairs(found, teachers, norm)]
    assert [float(metrics[f"mmd_{k}"]) for k in (1, 2, 3)] == pytest.approx(expected, rel=1e-4)
    assert [float(metrics[f"vertex_{k}"]) for k in (1, 2, 3)] == pytest.approx(weights, rel=1e-5)
    assert float(loss.detach()) == pytest.approx(weights @ expected, rel=1e-4)
    assert len(metrics) == 6 and all(value.shape == () and not value.requires_grad for value in metrics.values())


def test_edges_of_dimensions_against_the_formulas_in_float64() -> None:
    """E (3, 8) sums to one over the vertices for every channel."""
    found = graph(representation_edges="dimension", representation_edge_temperature=0.5)
    logits = np.random.default_rng(0).normal(size=(3, SKETCH))
    with torch.no_grad():
        found.edges.logits.copy_(torch.from_numpy(logits))
    student, teachers = maps()
    loss, metrics = found(student, teachers)
    edges = softmax(logits / 0.5, 0)
    expected = [discrepancy(student, v, e / e.sum()) for v, e in zip(pairs(found, teachers), edges, strict=True)]
    assert [float(metrics[f"mmd_{k}"]) for k in (1, 2, 3)] == pytest.approx(expected, rel=1e-4)
    assert [float(metrics[f"vertex_{k}"]) for k in (1, 2, 3)] == pytest.approx(edges.mean(1), rel=1e-5)
    assert float(loss.detach()) == pytest.approx(edges.mean(1) @ expected, rel=1e-4)
    loss.backward()
    assert found.edges.logits.grad.abs().min() > 0


def test_temperatures_of_vertices_and_edges_may_differ() -> None:
    """Eqs. 8 and 10: T_k of each vertex, T a vector over them."""
    found = graph(vertex_temperature=[0.3, 1.0, 2.0], representation_edge_temperature=[0.5, 1.0, 4.0])
    logits = np.array([0.3, -0.2, 0.1])
    with torch.no_grad():
        found.edges.logits.copy_(torch.from_numpy(logits))
    student, teachers = maps()
    loss, metrics = found(student, teachers)
    of_vertices = zip(pairs(found, teachers), (0.3, 1.0, 2.0), strict=True)
    expected = [discrepancy(student, vertex, temperature=temperature) for vertex, temperature in of_vertices]
    assert [float(metrics[f"mmd_{k}"]) for k in (1, 2, 3)] == pytest.approx(expected, rel=1e-4)
    assert float(loss.detach()) == pytest.approx(softmax(logits / [0.5, 1.0, 4.0], 0) @ expected, rel=1e-4)


def test_one_temperature_is_as_many_equal_ones() -> None:
    student, teachers = maps()
    for edges in ("vertex", "dimension"):
        one = graph(vertex_temperature=0.7, representation_edge_temperature=0.3, representation_edges=edges)
        many = graph(vertex_temperature=[0.7] * 3, representation_edge_temperature=[0.3] * 3, representation_edges=edges)
        assert torch.equal(one(student, teachers)[0], many(student, teachers)[0])


def masked(maps: list[Tensor]) -> list[Tensor]:
    """A quarter of the locations a hundred thousand times as strong as the others, of all teachers."""
    mask = torch.ones(4, 4, dtype=torch.float64)
    mask[:2, :2] = 1e5
    return [mask * each.double() for each in maps]


@pytest.mark.parametrize("representation", ["graph", "single"])
def test_only_a_norm_of_the_whole_map_keeps_where_teachers_look(representation: str) -> None:
    """With a norm per location a mask of contrast 1e5 over all teachers' maps changes nothing, in float64, of the loss and its
    gradient."""
    student, teachers = maps()
    student = student.double().requires_grad_()
    for values, seen in ((OLD, False), ({"vertex_norm": "map"}, True)):
        found = graph(representation=representation, **values).double()
        losses = [found(student, given)[0] for given in ([each.double() for each in teachers], masked(teachers))]
        gradients = [torch.autograd.grad(loss, student)[0] for loss in losses]
        assert (abs(float((losses[0] - losses[1]).detach())) > 1e-2) == seen
        assert seen or abs(float((losses[0] - losses[1]).detach())) <= 1e-9
        assert seen == (float((gradients[0] - gradients[1]).norm()) > 0.1 * float(gradients[0].norm()))


def test_a_norm_of_the_map_means_the_same_at_every_size() -> None:
    """A map that shows itself four times, side by side, is softened as the one: four times as many locations, a quarter each.
    Scaling a teacher changes nothing."""
    generator = torch.Generator().manual_seed(3)
    one = torch.randn(2, 5, 3, 3, generator=generator, dtype=torch.float64)
    four = one.repeat(1, 1, 2, 2)
    for values in (one, four):
        torch.testing.assert_close(of_one_norm(7 * values, "map"), of_one_norm(values, "map"))
        torch.testing.assert_close(of_one_norm(values, "map").square().mean((1, 2, 3)), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(of_one_norm(four, "map"), of_one_norm(one, "map").repeat(1, 1, 2, 2))
    assert torch.equal(of_one_norm(torch.zeros(2, 3, 2, 2), "map"), torch.zeros(2, 3, 2, 2))


def test_a_normalised_student_is_compared_by_where_it_looks_not_how_much() -> None:
    found, raw = graph(student_map="normalised"), graph()
    student, teachers = maps()
    losses = [float(found(scale * student, teachers)[0].detach()) for scale in (1.0, 20.0)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    normalised = torch.from_numpy(unit(student.double().numpy())).float()
    assert float(raw(normalised, teachers)[0].detach()) == pytest.approx(losses[0], rel=1e-5)
    assert float(raw(20 * student, teachers)[0].detach()) != pytest.approx(losses[0], rel=1e-2)


def test_per_location_it_is_what_it_was_to_the_bit() -> None:
    """The old form written out: F.normalize over channels, one temperature, distances out of place."""
    found = graph(bandwidth="median", **OLD)
    student, teachers = maps()
    vertices = []
    spectra = [torch.fft.rfft(s(each), dim=1) for s, each in zip(found.vertices.sketches, teachers, strict=True)]
    for one, other in itertools.combinations(spectra, 2):
        bilinear = torch.fft.irfft(one * other, n=SKETCH, dim=1)
        vertices.append((F.normalize(bilinear.sign() * bilinear.abs().sqrt(), dim=1) / 0.05).flatten(2).softmax(2))

    def squares(a: Tensor, b: Tensor) -> Tensor:
        lengths = a.square().sum(2)[:, :, None] + b.square().sum(2)[:, None, :]
        return torch.baddbmm(lengths, a, b.mT, alpha=-2).clamp_min(0)

    def discrepancy_of(student: Tensor, vertex: Tensor) -> Tensor:
        origin = vertex.mean(1, keepdim=True)
        student, vertex = student - origin, vertex - origin
        across = squares(student, vertex)
        width = 2 * median_square(across)
        weights = vertex.new_full((vertex.shape[1],), 1 / vertex.shape[1])
        inside = weights @ torch.exp(squares(vertex, vertex) / -width).mean(0) @ weights
        within = torch.exp(squares(student, student) / -width).mean()
        return within + inside - 2 * torch.exp(across / -width).mean((0, 1)) @ weights

    student.requires_grad_()
    imitating = student.flatten(2).softmax(2)
    expected = ((found.edges.logits / 1.0).softmax(0) * torch.stack([discrepancy_of(imitating, v) for v in vertices])).sum()
    loss, _ = found(student, teachers)
    assert torch.equal(loss, expected)
    inputs = (student, found.edges.logits)
    for one, other in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert torch.equal(one, other)


def test_teachers_own_maps_weigh_the_same() -> None:
    found = graph(representation="single")
    student, teachers = maps()
    loss, metrics = found(student, teachers)
    expected = [discrepancy(student, unit(each.double().numpy())) for each in teachers]
    assert [float(metrics[f"mmd_{k}"]) for k in (1, 2, 3)] == pytest.approx(expected, rel=1e-4)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-4)
    assert list(found.parameters()) == []


def test_dimensions_that_start_equal_are_vertices_that_start_equal() -> None:
    student, teachers = maps()
    losses = [
        float(graph(representation_edges=edges)(student, teachers)[0].detach()) for edges in ("uniform", "vertex", "dimension")
    ]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)


@pytest.mark.parametrize("representation", ["graph", "single"])
def test_maps_of_other_sizes_are_averaged(representation: str) -> None:
    """An 8x8 map counts as the 4x4 means of its quarters, a 2x2 one as each value four times over."""
    found = graph(representation=representation)
    student, teachers = maps((8, 2, 4))
    blocks = teachers[0].reshape(2, 4, 4, 2, 4, 2).mean((3, 5))
    repeated = teachers[1].repeat_interleave(2, 2).repeat_interleave(2, 3)
    loss, expected = found(student, teachers)[0], found(student, [blocks, repeated, teachers[2]])[0]
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize(("teachers", "vertices"), [(2, 1), (3, 3), (4, 6)])
def test_a_vertex_for_every_pair(teachers: int, vertices: int) -> None:
    _, metrics = graph((3,) * teachers)(torch.randn(2, 4, 3, 3), [torch.randn(2, 3, 3, 3)] * teachers)
    assert sorted(metrics) == sorted(f"{name}_{k + 1}" for name in ("mmd", "vertex") for k in range(vertices))


def test_bandwidth_median_and_stored_float16_under_autocast() -> None:
    """Everything is computed in float32 whatever is around it."""
    found = graph(bandwidth="median")
    student, teachers = maps()
    student, teachers = student.bfloat16().float(), [each.half().float() for each in teachers]
    expected = found(student, teachers)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = found(student.bfloat16(), [each.half() for each in teachers])[0]
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == float(expected.detach())


def test_descent_on_the_student_s_map_lessens_the_loss() -> None:
    """With the median bandwidth, where a fixed sigma of 1 would barely have a gradient."""
    found = graph(bandwidth="median", representation_edges="uniform")
    student, teachers = maps()
    student.requires_grad_()
    optimiser = torch.optim.Adam([student], lr=0.1)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = found(student, teachers)[0]
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_teachers_get_no_gradient() -> None:
    for representation in ("graph", "single"):
        student, teachers = maps()
        loss = graph(representation=representation)(student.requires_grad_(), [each.requires_grad_() for each in teachers])[0]
        loss.backward()
        assert student.grad is not None and student.grad.abs().sum() > 0
        assert all(each.grad is None for each in teachers)


def test_identical_teachers_have_equal_vertices_but_for_their_hashes() -> None:
    """Finite gradients, and equal weights: the hashes of the teachers differ, so the vertices do."""
    found = graph((4, 4, 4))
    student, teachers = maps()
    loss, metrics = found(student.requires_grad_(), [teachers[0]] * 3)
    loss.backward()
    assert [float(metrics[f"vertex_{k}"]) for k in (1, 2, 3)] == pytest.approx([1 / 3] * 3)
    assert student.grad is not None and student.grad.isfinite().all()


def test_state_goes_through_a_checkpoint() -> None:
    """Hashes and edges are kept: a graph from another seed computes the same once it has the state."""
    found = graph()
    with torch.no_grad():
        found.edges.logits.copy_(torch.tensor([1.0, 0.0, -1.0]))
    torch.manual_seed(99)
    other = RepresentationGraph(found.settings, CHANNELS)
    student, teachers = maps()
    expected = found(student, teachers)[0]
    assert not torch.equal(other(student, teachers)[0], expected)
    other.load_state_dict(found.state_dict())
    assert torch.equal(other(student, teachers)[0], expected)


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="graph of 1 teacher: its vertices are pairs, so it needs two"):
        graph((4,))
    assert len(graph((4,), representation="single")(torch.randn(2, 3, 2, 2), [torch.randn(2, 4, 2, 2)])[1]) == 2
    student, teachers = maps()
    with pytest.raises(ValueError, match="2 temperatures of a representation graph of 3 vertices"):
        graph(vertex_temperature=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"have \[4, 3, 5\] channels; \[4, 5, 3\] were announced"):
        graph()(student, [teachers[0], teachers[2], teachers[1]])
