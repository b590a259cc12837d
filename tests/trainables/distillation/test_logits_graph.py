"""The logits graph: the whole loss against numpy in float64, edges by hand, state, and input that does not belong together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from trainables.distillation.logits_graph import AveragedPredictions, GainEdges, LearnedEdges, LogitsGraph
from trainables.settings import GraphSettings

TASKS = ("sorting", "ego_motion", "prediction")
TEMPERATURES = {"sorting_temperature": 3.0, "ego_motion_temperature": 2.0, "prediction_temperature": 1.0}


def logits(batch: int = 7, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator), torch.randn(3, batch, classes, generator=generator)


def labels(student: Tensor) -> Tensor:
    return torch.arange(len(student)) % 3


def softmax(values: np.ndarray) -> np.ndarray:
    exponential = np.exp(values.astype(np.float64))
    return np.asarray(exponential / exponential.sum(-1, keepdims=True))


def earth_movers(student: Tensor, teachers: Tensor) -> list[float]:
    """Eqs. 5 and 6 at the temperatures above and the default's cost of samples, 0.2."""
    eta, found = softmax(student.numpy()), []
    for teacher, temperature in zip(teachers.numpy(), TEMPERATURES.values(), strict=True):
        mu = softmax(teacher / temperature)
        cost = np.array([[np.sqrt(((m - e) ** 2).sum()) for e in eta] for m in mu])
        cost += 0.2 * (1 - np.eye(len(eta)))
        found.append(float(cost[linear_sum_assignment(cost)].mean()))
    return found


def gain_edges(losses: list[float], temperature: float) -> np.ndarray:
    """e[n, m] for three teachers, one vertex at a time."""
    edges = np.zeros((3, 3))
    for m, others in ((0, (1, 2)), (1, (0, 2)), (2, (0, 1))):
        gains = [np.exp((losses[m] - losses[n]) / temperature) for n in others]
        for n, gain in zip(others, gains, strict=True):
            edges[n, m] = gain / sum(gains)
    return edges


def test_the_loss_with_gains_against_the_formulas_in_float64() -> None:
    """Two batches: means start at the first batch's distances and move on by 1 - momentum."""
    graph = LogitsGraph(GraphSettings(**TEMPERATURES, gain_momentum=0.75, edge_temperature=0.05), TASKS)
    means = [0.0, 0.0, 0.0]
    for step in range(2):
        student, teachers = logits(seed=step)
        loss, metrics = graph(student, teachers, labels(student))
        distances = earth_movers(student, teachers)
        means = distances if step == 0 else [0.75 * mean + 0.25 * new for mean, new in zip(means, distances, strict=True)]
        edges = gain_edges(means, 0.05)
        expected = sum(edges[n, m] * distances[n] for m in range(3) for n in range(3) if n != m)
        assert float(loss) == pytest.approx(expected, rel=1e-5)
        assert [float(metrics[f"distance_{task}"]) for task in TASKS] == pytest.approx(distances, rel=1e-5)
        shares = [edges[n].sum() / 3 for n in range(3)]
        assert [float(metrics[f"edge_{task}"]) for task in TASKS] == pytest.approx(shares, rel=1e-4)
        assert sum(shares) == pytest.approx(1)
        assert len(metrics) == 6 and all(value.shape == () and not value.requires_grad for value in metrics.values())


def test_gains_by_hand() -> None:
    """l = (0, T ln 2, T ln 4): weights 1, 1/2, 1/4, of which those into a vertex are normalised."""
    edges = GainEdges(GraphSettings(edge_temperature=0.5), 3)
    found, loss = edges(0.5 * torch.log(torch.tensor([1.0, 2.0, 4.0])))
    expected = [[0, 4 / 5, 2 / 3], [2 / 3, 0, 1 / 3], [1 / 3, 1 / 5, 0]]
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-6)
    ln2 = 0.5 * np.log(2)
    assert float(loss) == pytest.approx((2 / 3 + 1 / 3) * ln2 + (1 / 3 + 1 / 5) * 2 * ln2, rel=1e-6)


def test_gains_follow_training_only() -> None:
    edges = GainEdges(GraphSettings(gain_momentum=0.9), 3)
    uniform = (1 - np.eye(3)) / 2
    assert edges.eval()(torch.tensor([1.0, 2.0, 3.0]))[0].numpy() == pytest.approx(uniform), "before the first batch"
    edges.train()(torch.tensor([1.0, 2.0, 3.0]))
    edges.eval()(torch.tensor([9.0, 9.0, 9.0]))
    assert edges.running_means.tolist() == [1, 2, 3]
    edges.train()(torch.tensor([2.0, 2.0, 2.0]))
    assert edges.running_means.tolist() == pytest.approx([1.1, 2.0, 2.9])


def test_uniform_edges_sum_the_distances() -> None:
    student, teachers = logits()
    loss, metrics = LogitsGraph(GraphSettings(**TEMPERATURES, edges="uniform"), TASKS)(student, teachers, labels(student))
    assert float(loss) == pytest.approx(sum(earth_movers(student, teachers)), rel=1e-5)
    assert [float(metrics[f"edge_{task}"]) for task in TASKS] == pytest.approx([1 / 3] * 3)


def test_learned_edges_and_their_prior_against_the_formula() -> None:
    edges = LearnedEdges(GraphSettings(edge_temperature=0.5, prior_weight=10), 3)
    with torch.no_grad():
        edges.adjacency.copy_(torch.tensor([[9.0, 0.2, -0.1], [0.5, 9.0, 0.3], [0.1, -0.4, 9.0]]))
    distances = torch.tensor([0.3, 0.7, 0.2])
    found, loss = edges(distances)
    exponential = np.exp(edges.adjacency.detach().double().numpy() / 0.5) * (1 - np.eye(3))
    e, prior = exponential / exponential.sum(0), (1 - np.eye(3)) / 2
    expected = ((e + prior) * distances.double().numpy()[:, None]).sum() + 10 * ((e - prior) ** 2).sum()
    assert found.detach().numpy() == pytest.approx(e, rel=1e-5)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert edges.adjacency.grad is not None
    assert edges.adjacency.grad.diagonal().tolist() == [0, 0, 0], "no edge starts where it ends"
    assert edges.adjacency.grad.abs().sum() > 0


def test_learned_edges_turn_to_the_nearer_teacher() -> None:
    """Gradient descent on the edges alone, from uniform: the prior holds them back but not where they are."""
    edges = LearnedEdges(GraphSettings(edge_temperature=1.0), 3)
    optimiser = torch.optim.SGD(edges.parameters(), lr=0.1)
    for _ in range(50):
        optimiser.zero_grad()
        edges(torch.tensor([0.1, 0.5, 0.9]))[1].backward()
        optimiser.step()
    shares = edges(torch.tensor([0.1, 0.5, 0.9]))[0].mean(1).tolist()
    assert shares[0] > 1 / 3 + 0.005 > 1 / 3 > shares[2]


@pytest.mark.parametrize("edges", ["uniform", "gain", "learned"])
@pytest.mark.parametrize("distance", ["em", "sinkhorn", "class_em", "kl", "cosine", "l2"])
def test_identical_teachers_have_equal_edges_and_finite_gradients(edges: str, distance: str) -> None:
    """Even where the student already says what they say."""
    graph = LogitsGraph(GraphSettings.model_validate({"edges": edges, "distance": distance}), TASKS)
    student, _ = logits(4)
    student.requires_grad_()
    loss, metrics = graph(student, 2 * student.detach().expand(3, -1, -1), labels(student))
    loss.backward()
    assert [float(metrics[f"edge_{task}"]) for task in TASKS] == pytest.approx([1 / 3] * 3)
    assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()
    if distance == "em":
        assert float(loss.detach()) == pytest.approx(0, abs=1e-6), "T_k = 2 undoes the factor 2"


@pytest.mark.parametrize(("edges", "times"), [("uniform", 1), ("gain", 1), ("learned", 2)])
def test_a_single_teacher_points_to_itself(edges: str, times: int) -> None:
    student, teachers = logits()
    settings = GraphSettings.model_validate({"edges": edges, **TEMPERATURES})
    loss, metrics = LogitsGraph(settings, TASKS[:1])(student, teachers[:1], labels(student))
    assert float(loss.detach()) == pytest.approx(times * earth_movers(student, teachers)[0], rel=1e-5)
    assert float(metrics["edge_sorting"]) == 1


@pytest.mark.parametrize("edges", ["gain", "learned"])
def test_state_goes_through_a_checkpoint(edges: str) -> None:
    settings = GraphSettings.model_validate({"edges": edges})
    graph, again = LogitsGraph(settings, TASKS), LogitsGraph(settings, TASKS)
    optimiser = torch.optim.SGD(graph.parameters(), lr=1.0) if edges == "learned" else None
    loss, _ = graph(*logits(seed=1), torch.arange(7))
    if optimiser is not None:
        loss.backward()
        optimiser.step()
    again.load_state_dict(graph.state_dict())
    first, second = graph(*logits(seed=2), torch.arange(7)), again(*logits(seed=2), torch.arange(7))
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    fresh = LogitsGraph(settings, TASKS)(*logits(seed=2), torch.arange(7))
    assert not torch.equal(first[0], fresh[0]), "there was something to keep"


def test_the_average_against_the_formula_in_float64() -> None:
    student, teachers = logits()
    settings = GraphSettings(**TEMPERATURES, logits="average", student_temperature=2.0)
    loss, metrics = AveragedPredictions(settings, TASKS)(student, teachers, labels(student))
    mean = np.mean([softmax(z / t) for z, t in zip(teachers.numpy(), TEMPERATURES.values(), strict=True)], axis=0)
    eta = softmax(student.numpy() / 2)
    assert float(loss) == pytest.approx((mean * np.log(mean / eta)).sum(1).mean(), rel=1e-5)
    assert metrics == {}


@pytest.mark.parametrize("loss", [LogitsGraph, AveragedPredictions])
def test_bfloat16_under_autocast_is_computed_in_float32(loss: type[LogitsGraph] | type[AveragedPredictions]) -> None:
    student, teachers = (values.bfloat16() for values in logits())
    graph = loss(GraphSettings(), TASKS)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = graph(student, teachers, labels(student))
    assert found.dtype == torch.float32
    assert float(found) == float(graph(student.float(), teachers.float(), labels(student))[0])


@pytest.mark.parametrize("loss", [LogitsGraph, AveragedPredictions])
def test_teachers_get_no_gradient(loss: type[LogitsGraph] | type[AveragedPredictions]) -> None:
    student, teachers = logits()
    found, _ = loss(GraphSettings(), TASKS)(student.requires_grad_(), teachers.requires_grad_(), labels(student))
    found.backward()
    assert teachers.grad is None and student.grad is not None


@pytest.mark.parametrize("loss", [LogitsGraph, AveragedPredictions])
@pytest.mark.parametrize(
    ("student", "teachers", "message"),
    [
        ((4, 5), (3, 4, 7), "the student has 5 classes and the teachers 7"),
        ((1, 5), (3, 1, 5), "a batch of one sample.* need two"),
        ((4, 5), (3, 2, 5), "the student saw 4 samples and the teachers 2"),
        ((4, 5), (2, 4, 5), "logits of 2 teachers; there are 3: sorting, ego_motion, prediction"),
    ],
)
def test_input_that_does_not_belong_together(
    loss: type[LogitsGraph] | type[AveragedPredictions], student: tuple[int, ...], teachers: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        loss(GraphSettings(), TASKS)(torch.zeros(student), torch.zeros(teachers), torch.zeros(student[0], dtype=torch.long))


@pytest.mark.parametrize("distance", ["em", "sinkhorn", "class_em", "kl", "cosine", "l2"])
@pytest.mark.parametrize("edges", ["uniform", "learned", "gain"])
def test_settings_know_whether_the_loss_is_the_mean_of_what_parts_of_a_batch_give(distance: str, edges: str) -> None:
    """Two batches of three and four samples after one another, in training: a loss that is not must not be divided."""
    settings = GraphSettings(distance=distance, edges=edges)  # type: ignore[arg-type]
    whole, divided = LogitsGraph(settings, TASKS), LogitsGraph(settings, TASKS)
    differences = []
    for seed in range(2):
        student, teachers = logits(seed=seed)
        parts = zip(student.split([3, 4]), teachers.split([3, 4], dim=1), strict=True)
        in_parts = sum(len(own) / 7 * divided(own, asked, labels(own))[0] for own, asked in parts)
        differences.append(float((whole(student, teachers, labels(student))[0] - in_parts).abs().detach()))
    assert (max(differences) > 1e-4) == settings.compares_samples


def test_without_a_graph_of_logits_no_samples_are_compared() -> None:
    for logits_loss in ("none", "average"):
        assert not GraphSettings(logits=logits_loss, distance="em", edges="gain").compares_samples  # type: ignore[arg-type]


def test_labels_are_one_of_each_sample() -> None:
    student, teachers = logits()
    with pytest.raises(ValueError, match="6 labels of 7 samples: there must be one of each"):
        LogitsGraph(GraphSettings(), TASKS)(student, teachers, torch.zeros(6, dtype=torch.long))


def test_a_ground_metric_of_another_size_says_what_is_valid() -> None:
    settings = GraphSettings(distance="class_em", ground="prototypes")
    student, teachers = logits()
    graph = LogitsGraph(settings, TASKS, [torch.randn(4, 8)] * 3)
    says = r"a ground metric of shape \(3, 4, 4\); 3 teachers and 5 classes need \(3, 5, 5\): rows of each teacher's last layer"
    with pytest.raises(ValueError, match=says):
        graph(student, teachers, labels(student))
    with pytest.raises(ValueError, match=r"prototypes of \[4, 5, 5\] classes: all teachers need the same classes"):
        LogitsGraph(settings, TASKS, [torch.randn(4, 8), torch.randn(5, 8), torch.randn(5, 3)])
