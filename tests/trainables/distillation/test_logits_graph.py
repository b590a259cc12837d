"""The logits graph: the whole loss against numpy in float64, mixed targets and their limits, state, and input that does not
belong together; KD beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from trainables.distillation.averaged import AveragedPredictions
from trainables.distillation.logits_graph import LogitsGraph
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.encoder import Outputs
from trainables.settings import GraphSettings

TASKS = ("sorting", "ego_motion", "prediction")
TEMPERATURES = {"sorting_temperature": 3.0, "ego_motion_temperature": 2.0, "prediction_temperature": 1.0}


def logits(batch: int = 7, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator), torch.randn(3, batch, classes, generator=generator)


Graph = LogitsGraph | AveragedPredictions
FEATURES = (4, 6, 6, 2)
"""Of the student and the teachers."""


def make(tasks: tuple[str, ...] = TASKS, loss: type[Graph] = LogitsGraph, **values: Any) -> Graph:
    torch.manual_seed(0)
    settings = GraphSettings.model_validate({**TEMPERATURES, **values})
    teachers = Teachers(tasks, (), [torch.randn(5, length) for length in FEATURES[1 : 1 + len(tasks)]])
    return LogitsGraph(settings, teachers, FEATURES[0]) if loss is LogitsGraph else AveragedPredictions(settings, teachers)


def ask(graph: Graph, student: Tensor, teachers: Tensor, labels: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Features are a function of the logits, sample by sample."""
    features = [
        values[:, :1].detach() * torch.ones(length) for values, length in zip((student, *teachers), FEATURES, strict=False)
    ]
    given = torch.arange(len(student)) % 3 if labels is None else labels
    found: tuple[Tensor, dict[str, Tensor]] = graph(
        Outputs(student, student, features[0].to(student.dtype)), Answers(teachers, (), features[1:]), given
    )
    return found


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
    graph = make(gain_momentum=0.75, edge_temperature=0.05)
    means = [0.0, 0.0, 0.0]
    for step in range(2):
        student, teachers = logits(seed=step)
        loss, metrics = ask(graph, student, teachers)
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


def test_uniform_edges_sum_the_distances() -> None:
    student, teachers = logits()
    loss, metrics = ask(make(edges="uniform"), student, teachers)
    assert float(loss) == pytest.approx(sum(earth_movers(student, teachers)), rel=1e-5)
    assert [float(metrics[f"edge_{task}"]) for task in TASKS] == pytest.approx([1 / 3] * 3)


ALL_EDGES = ["uniform", "gain", "learned", "learned_global"]
ALL_DISTANCES = ["em", "sinkhorn", "class_em", "kl", "cosine", "l2"]


FORMS = [(edges, targets) for edges in ALL_EDGES for targets in ("own", "mixed") if (edges, targets) != ("learned", "mixed")]


@pytest.mark.parametrize(("edges", "targets"), FORMS)
@pytest.mark.parametrize("distance", ALL_DISTANCES)
def test_identical_teachers_have_equal_edges_and_finite_gradients(edges: str, distance: str, targets: str) -> None:
    """Even where the student already says what they say, which no mixture changes."""
    alike = dict.fromkeys(TEMPERATURES, 2.0)
    graph = make(edges=edges, distance=distance, targets=targets, ground="prototypes", **alike)
    student, _ = logits(4)
    student.requires_grad_()
    loss, metrics = ask(graph, student, 2 * student.detach().expand(3, -1, -1))
    loss.backward()
    if edges != "learned":
        assert [float(metrics[f"edge_{task}"]) for task in TASKS] == pytest.approx([1 / 3] * 3)
    assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()
    if distance == "em" and edges != "learned":
        assert float(loss.detach()) == pytest.approx(0, abs=1e-6), "T_k = 2 undoes the factor 2"


@pytest.mark.parametrize(("edges", "targets"), FORMS)
def test_a_single_teacher_points_to_itself(edges: str, targets: str) -> None:
    """With a prior its edge weighs two."""
    student, teachers = logits()
    times = 2 if edges in ("learned", "learned_global") else 1
    loss, metrics = ask(make(TASKS[:1], edges=edges, targets=targets), student, teachers[:1])
    assert float(loss.detach()) == pytest.approx(times * earth_movers(student, teachers)[0], rel=1e-5)
    assert float(metrics["edge_sorting"]) == 1


@pytest.mark.parametrize("edges", ["gain", "learned", "learned_global"])
def test_the_spread_of_edges_over_samples_is_a_metric_where_they_differ(edges: str) -> None:
    student, teachers = logits()
    for of in ("running_means", "sample"):
        spreads = {
            name: value for name, value in ask(make(edges=edges, gain_of=of), student, teachers)[1].items() if "spread" in name
        }
        assert spreads.keys() == (
            {f"edge_spread_{task}" for task in TASKS} if edges == "learned" or (edges, of) == ("gain", "sample") else set()
        )
        assert all(0 < float(value) < 0.5 for value in spreads.values())


@pytest.mark.parametrize("edges", ["gain", "learned", "learned_global"])
def test_state_goes_through_a_checkpoint(edges: str) -> None:
    graph, again = make(edges=edges), make(edges=edges)
    loss, _ = ask(graph, *logits(seed=1))
    if edges != "gain":
        optimiser = torch.optim.SGD(graph.parameters(), lr=1.0)
        loss.backward()
        optimiser.step()
    again.load_state_dict(graph.state_dict())
    first, second = ask(graph, *logits(seed=2)), ask(again, *logits(seed=2))
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    fresh = ask(make(edges=edges), *logits(seed=2))
    assert not torch.equal(first[0], fresh[0]), "there was something to keep"


def softened(teachers: Tensor) -> np.ndarray:
    return np.stack([softmax(z / t) for z, t in zip(teachers.numpy(), TEMPERATURES.values(), strict=True)])


def kl(target: np.ndarray, student: np.ndarray) -> float:
    return float((target * np.log(target / student)).sum(1).mean())


@pytest.mark.parametrize("edges", ["uniform", "gain"])
def test_mixed_targets_against_the_formula_in_float64(edges: str) -> None:
    """sum over m of KL(0.7 mu_m + 0.3 sum over n of e_{n->m} mu_n || eta), gains of the own distances."""
    student, teachers = logits()
    eta, mu = softmax(student.numpy()), softened(teachers)
    own = [kl(teacher, eta) for teacher in mu]
    e = gain_edges(own, 0.1) if edges == "gain" else (1 - np.eye(3)) / 2
    expected = sum(kl(0.7 * mu[m] + 0.3 * np.einsum("n,nbc->bc", e[:, m], mu), eta) for m in range(3))
    loss, metrics = ask(make(distance="kl", edges=edges, targets="mixed", mixing=0.3), student, teachers)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert [float(metrics[f"distance_{task}"]) for task in TASKS] == pytest.approx(own, rel=1e-5)


def test_mixed_targets_of_each_sample_s_gains_against_the_formula() -> None:
    student, teachers = logits()
    eta, mu = softmax(student.numpy()), softened(teachers)
    expected = 0.0
    for sample in range(7):
        own = [kl(teacher[[sample]], eta[[sample]]) for teacher in mu]
        e = gain_edges(own, 0.1)
        targets = [0.5 * mu[m, sample] + 0.5 * e[:, m] @ mu[:, sample] for m in range(3)]
        expected += sum(kl(target[None], eta[[sample]]) for target in targets) / 7
    loss, _ = ask(make(distance="kl", gain_of="sample", targets="mixed"), student, teachers)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("distance", ALL_DISTANCES)
def test_without_mixing_every_teacher_is_imitated_as_it_is(distance: str) -> None:
    """Whatever the edges: the sum of the distances. With all of it, and edges that are one, another teacher is."""
    student, teachers = logits()
    plain = float(ask(make(distance=distance, edges="uniform"), student, teachers)[0])
    unmixed = ask(make(distance=distance, edges="gain", targets="mixed", mixing=0.0), student, teachers)[0]
    assert float(unmixed) == pytest.approx(plain, rel=1e-5)
    pair = {"tasks": TASKS[:2], "distance": distance, "edges": "gain"}
    swapped = ask(make(**pair, targets="mixed", mixing=1.0), student, teachers[:2])[0]
    assert float(swapped) == pytest.approx(float(ask(make(**pair), student, teachers[:2])[0]), rel=1e-5)


@pytest.mark.parametrize("distance", ["em", "class_em", "kl", "cosine", "l2"])
def test_mixed_targets_carry_gradients_to_student_and_learned_edges(distance: str) -> None:
    """Against finite differences, in float64."""
    graph = make(distance=distance, edges="learned_global", targets="mixed", ground="prototypes").double()
    student, teachers = (values.double() for values in logits(4))
    assert isinstance(graph, LogitsGraph)
    adjacency = torch.tensor([[0.0, 0.02, -0.03], [0.05, 0.0, 0.01], [0.04, 0.03, 0.0]], dtype=torch.float64)
    parameter = graph.edges.adjacency

    def loss(student: Tensor, adjacency: Tensor) -> Tensor:
        del graph.edges._parameters["adjacency"]
        graph.edges.adjacency = adjacency  # type: ignore[assignment]
        found = ask(graph, student, teachers)[0]
        del graph.edges.adjacency
        graph.edges.register_parameter("adjacency", parameter)  # type: ignore[arg-type]
        return found

    assert torch.autograd.gradcheck(loss, (student.requires_grad_(), adjacency.requires_grad_()))


def test_edges_into_different_vertices_act_for_themselves_on_mixed_targets_alone() -> None:
    """Two sets of edges from which the same leaves every teacher: Eq. 4 over own predictions cannot tell them apart."""
    student, teachers = logits()
    cycle, back = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]), torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    for targets, equal in (("own", True), ("mixed", False)):
        losses = []
        for way in (cycle, back):
            graph = make(edges="learned_global", targets=targets, prior_weight=0.0)
            assert isinstance(graph, LogitsGraph)
            with torch.no_grad():
                graph.edges.adjacency.copy_(way)  # type: ignore[operator]
            losses.append(float(ask(graph, student, teachers)[0].detach()))
        assert (losses[0] == pytest.approx(losses[1], rel=1e-6)) == equal


@pytest.mark.parametrize("edges", ["learned_global", "gain", "uniform"])
def test_the_mean_over_vertices_divides_the_whole_loss_by_their_number(edges: str) -> None:
    """What is added for the prior, too."""
    student, teachers = logits()
    found = []
    for vertices in ("sum", "mean"):
        graph = make(edges=edges, vertices=vertices)
        assert isinstance(graph, LogitsGraph)
        if edges == "learned_global":
            with torch.no_grad():
                graph.edges.adjacency.copy_(torch.eye(3).roll(1, 0))  # type: ignore[operator]
        found.append(float(ask(graph, student, teachers)[0].detach()))
    assert found[1] == pytest.approx(found[0] / 3, rel=1e-6)


def test_global_edges_give_the_old_loss_to_the_bit() -> None:
    """As it was written for MMGD before its edges came from each sample: vertices, then teachers, then the prior."""
    student, teachers = logits()
    graph = make(distance="cosine", edges="learned_global", edge_temperature=0.1)
    assert isinstance(graph, LogitsGraph)
    with torch.no_grad():
        graph.edges.adjacency.copy_(torch.randn(3, 3))  # type: ignore[operator]
    found = ask(graph, student, teachers)[0]
    distances = 1 - torch.nn.functional.cosine_similarity(teachers, student.expand_as(teachers), dim=-1).mean(-1)
    absent = torch.eye(3, dtype=torch.bool)
    edges = (graph.edges.adjacency / 0.1).masked_fill(absent, -torch.inf).softmax(0)  # type: ignore[operator]
    prior = ~absent / (~absent).sum(0)
    expected = ((edges + prior).sum(1) * distances).sum() + 10.0 * (edges - prior).square().sum()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("student_temperature", [1.0, 2.0])
def test_one_sided_averages_against_the_formula_in_float64(student_temperature: float) -> None:
    student, teachers = logits()
    graph = make(loss=AveragedPredictions, kd="one_sided", student_temperature=student_temperature)
    loss, metrics = ask(graph, student, teachers)
    expected = kl(softened(teachers).mean(0), softmax(student.numpy() / student_temperature))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert metrics == {}


def test_the_old_average_to_the_bit() -> None:
    student, teachers = logits()
    found = ask(make(loss=AveragedPredictions, kd="one_sided"), student, teachers)[0]
    mean = (teachers / torch.tensor(list(TEMPERATURES.values()))[:, None, None]).softmax(-1).mean(0)
    expected = torch.nn.functional.kl_div(student.log_softmax(-1), mean, reduction="batchmean")
    assert torch.equal(found, expected)


def test_kd_as_hinton_s_against_the_formula_and_its_limit() -> None:
    """T^2 KL of both softened by T, whatever T_k; from large T on its gradient is that of half the squared difference of the
    logits, centred, over the number of classes (Hinton et al. 2015, Sec. 2.1)."""
    student, teachers = logits()
    found = ask(make(loss=AveragedPredictions, kd_temperature=3.0, student_temperature=7.0), student, teachers)[0]
    mean = np.mean([softmax(teacher / 3) for teacher in teachers.numpy()], axis=0)
    assert float(found) == pytest.approx(9 * kl(mean, softmax(student.numpy() / 3)), rel=1e-5)
    own, said = student.double().requires_grad_(), teachers.double()
    hot = make(loss=AveragedPredictions, kd_temperature=1000.0).double()
    (gradient,) = torch.autograd.grad(ask(hot, own, said)[0], own)
    apart = (own - own.mean(1, keepdim=True) - (said - said.mean(2, keepdim=True)).mean(0)).detach() / (5 * len(own))
    assert gradient.numpy() == pytest.approx(apart.numpy(), rel=0.01, abs=3e-5)


@pytest.mark.parametrize("loss", [LogitsGraph, AveragedPredictions])
def test_bfloat16_under_autocast_is_computed_in_float32(loss: type[Graph]) -> None:
    student, teachers = (values.bfloat16() for values in logits())
    graph = make(loss=loss)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = ask(graph, student, teachers)
    assert found.dtype == torch.float32
    assert float(found) == float(ask(graph, student.float(), teachers.float())[0])


@pytest.mark.parametrize("loss", [LogitsGraph, AveragedPredictions])
def test_teachers_get_no_gradient(loss: type[Graph]) -> None:
    student, teachers = logits()
    ask(make(loss=loss), student.requires_grad_(), teachers.requires_grad_())[0].backward()
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
    loss: type[Graph], student: tuple[int, ...], teachers: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ask(make(loss=loss), torch.zeros(student), torch.zeros(teachers))


@pytest.mark.parametrize("distance", ALL_DISTANCES)
@pytest.mark.parametrize("edges", ALL_EDGES)
@pytest.mark.parametrize("gain_of", ["running_means", "sample"])
def test_settings_know_whether_the_loss_is_the_mean_of_what_parts_of_a_batch_give(
    distance: str, edges: str, gain_of: str
) -> None:
    """Two batches of three and four samples after one another, in training: a loss that is not must not be divided."""
    values = {"distance": distance, "edges": edges, "gain_of": gain_of, "edge_temperature": 0.1}
    whole, divided = make(**values), make(**values)
    differences = []
    for seed in range(2):
        student, teachers = logits(seed=seed)
        parts = zip(student.split([3, 4]), teachers.split([3, 4], dim=1), strict=True)
        in_parts = sum(len(own) / 7 * ask(divided, own, asked)[0] for own, asked in parts)
        differences.append(float((ask(whole, student, teachers)[0] - in_parts).abs().detach()))
    assert (max(differences) > 1e-4) == GraphSettings.model_validate(values).compares_samples


def test_without_a_graph_of_logits_no_samples_are_compared() -> None:
    for logits_loss in ("none", "average"):
        assert not GraphSettings(logits=logits_loss, distance="em", edges="gain").compares_samples  # type: ignore[arg-type]


def test_labels_are_one_of_each_sample() -> None:
    with pytest.raises(ValueError, match="6 labels of 7 samples: there must be one of each"):
        ask(make(), *logits(), torch.zeros(6, dtype=torch.long))


def test_a_ground_metric_of_another_size_says_what_is_valid() -> None:
    settings = GraphSettings(distance="class_em", ground="prototypes")
    graph = LogitsGraph(settings, Teachers(TASKS, (), [torch.randn(4, 8)] * 3))
    says = r"a ground metric of shape \(3, 4, 4\); 3 teachers and 5 classes need \(3, 5, 5\): rows of each teacher's last layer"
    with pytest.raises(ValueError, match=says):
        ask(graph, *logits())
    with pytest.raises(ValueError, match=r"prototypes of \[4, 5, 5\] classes: all teachers need the same classes"):
        LogitsGraph(settings, Teachers(TASKS, (), [torch.randn(4, 8), torch.randn(5, 8), torch.randn(5, 3)]))
