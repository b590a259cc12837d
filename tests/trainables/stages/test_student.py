"""The student: cached against live answers, its loss from its parts, exact resuming with its graphs, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from trainables.distillation.student import TaughtStudent
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.alexnet import AlexNet
from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TEACHER_TASKS, ExperimentSettings, with_values
from trainables.stages import student
from trainables.stages.student import _banked, _live, check_classes
from trainables.stages.supervised import training_clips
from trainables.stages.training import NonFiniteLoss
from trainables.stages.view_bank import BANK
from trainables.stages.work import Work
from trainables.store import Artifact, Store, Workplace
from trainables.store.state import saved_state
from trainables.tasks import find_task
from trainables.video.dataset import network_clips
from trainables.video.videos import DataError

Contents = Callable[[Path, Result], dict[str, bytes]]
Make = Callable[..., Runtime]
RunStage = Callable[..., Artifact]
WorkOf = Callable[[str, ExperimentSettings, Runtime], Work]
PROTOTYPES = [torch.zeros(6, 8), torch.zeros(6, 8)]
TEACHERS = [find_task(name) for name in TEACHER_TASKS]


def ignore(line: dict[str, Any]) -> None:
    pass


def test_cached_and_live_teachers_say_the_same_of_the_same_clips(
    tiny_graph: ExperimentSettings, after_teachers: Make, work_of: WorkOf
) -> None:
    """A batch of both views, in no order: the bank answers by (view, video), live teachers look at the clips."""
    live_settings = with_values(tiny_graph, {"teachers.outputs": "live"})
    banked, live = (work_of("student", settings, after_teachers(name)) for name, settings in
                    (("bank", tiny_graph), ("live", live_settings)))  # fmt: skip
    clips = training_clips(banked, BANK)
    batch = torch.utils.data.default_collate([clips[item] for item in ((1, 3), (0, 3), (0, 11), (1, 0), (1, 7))])
    cached, teachers = _banked(banked, TEACHERS)
    asked, live_teachers = _live(live, TEACHERS)
    assert teachers.tasks == live_teachers.tasks == list(TEACHER_TASKS)
    assert teachers.channels == live_teachers.channels == [6, 6, 6, 6]
    seen = network_clips(batch, tiny_graph.video, banked.device)
    (cached_logits, cached_maps, features), (logits, maps, live_features) = cached(seen, batch), asked(seen, batch)
    assert (features, [len(values) for values in live_features]) == ([], [5] * 4), "asked for by learned edges only"
    assert logits.shape == (4, 5, 6)
    assert not logits.requires_grad
    torch.testing.assert_close(cached_logits, logits, atol=1e-5, rtol=1e-5)
    assert len(maps) == len(cached_maps) == 4
    for found, expected in zip(cached_maps, maps, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits[:, 0], logits[:, 1], atol=1e-5), "two views of a video"
    trainings = [student.kind_of(tuple(TEACHERS), work is live).run(work) for work in (banked, live)]
    losses = [training.step(training.clips(batch), batch)[0] for training in trainings if training.network.eval()]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("total", "of_labels", "of_logits"), [("weighted", 0.7, 0.3), ("sum", 1.0, 1.0)])
@pytest.mark.parametrize(
    ("logits", "representation"),
    list(itertools.product(("none", "average", "graph"), ("none", "single", "graph")))[1:],
)
def test_the_loss_is_made_of_its_parts(
    tiny_graph: ExperimentSettings, logits: str, representation: str, total: str, of_labels: float, of_logits: float
) -> None:
    """(1 - lambda) CE + lambda L_logits, or both as they are, + weight L_representation, lambda 0 without a logits loss;
    metrics of what is on."""
    values = {
        "graph.logits": logits,
        "graph.representation": representation,
        "graph.imitation_weight": 0.3,
        "graph.total": total,
    }
    settings = with_values(tiny_graph, {**values, "graph.representation_weight": 2.5})
    torch.manual_seed(0)
    network = TaughtStudent(
        AlexNet(settings, 6), settings.graph, Teachers(("sorting", "prediction"), (4, 6), PROTOTYPES)
    ).eval()
    clips, targets = torch.rand(5, 3, 8, 12, 12), torch.tensor([0, 5, 2, 2, 1])
    said, maps = torch.randn(2, 5, 6), [torch.rand(5, 4, 3, 3), torch.rand(5, 6, 4, 4)]
    loss, metrics = network.loss(clips, targets, Answers(said, maps))
    outputs = network.student.outputs(clips, settings.graph.student_layer)
    expected = hard = functional.cross_entropy(outputs.logits, targets)
    if network.logits_graph is not None:
        expected = of_labels * hard + of_logits * network.logits_graph(outputs, Answers(said), targets)[0]
    if network.representation_graph is not None:
        expected = expected + 2.5 * network.representation_graph(outputs.map, maps)[0]
    torch.testing.assert_close(loss, expected)
    assert ("logits_loss" in metrics, "representation_loss" in metrics) == (logits != "none", representation != "none")
    torch.testing.assert_close(metrics["hard_loss"], hard)
    assert metrics["accuracy"].tolist() == (outputs.logits.argmax(1) == targets).float().tolist()


def test_prototypes_of_cached_and_live_teachers_are_the_rows_of_their_last_layers(
    tiny_graph: ExperimentSettings, after_teachers: Make, work_of: WorkOf
) -> None:
    """Where `class_em` measures classes by them; a student learns with either."""
    values = {"graph.distance": "class_em", "graph.ground": "prototypes"}
    found = []
    for outputs, ask in (("bank", _banked), ("live", _live)):
        settings = with_values(tiny_graph, {**values, "teachers.outputs": outputs})
        place = after_teachers(outputs)
        found.append(ask(work_of("student", settings, place), TEACHERS)[1].prototypes)
        assert 0 < run_experiment(Experiment(settings, 0), place, ignore).metrics["student/distance_tracking"] < 1
    assert [rows.shape[0] for rows in found[0]] == [6, 6, 6, 6]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_without_labels_the_student_learns_from_teachers_alone(tiny_graph: ExperimentSettings) -> None:
    """lambda = 1: other labels, the same gradient."""
    settings = with_values(tiny_graph, {"graph.imitation_weight": 1.0, "graph.representation": "none"})
    torch.manual_seed(0)
    network = TaughtStudent(AlexNet(settings, 6), settings.graph, Teachers(("sorting", "tracking"), (4, 6), PROTOTYPES)).eval()
    clips, said = torch.rand(4, 3, 8, 12, 12), torch.randn(2, 4, 6)

    def gradient(targets: list[int]) -> Tensor:
        loss, _ = network.loss(clips, torch.tensor(targets), Answers(said, []))
        return torch.autograd.grad(loss, network.student.classifier[-1].weight)[0]

    assert torch.equal(gradient([0, 1, 2, 3]), gradient([5, 5, 5, 5]))
    assert float(gradient([0, 1, 2, 3]).abs().max()) > 0


def states_of(place: Runtime, found: list[dict[str, Tensor]]) -> Callable[[dict[str, Any]], None]:
    """A report that keeps the network of the student's training state after every epoch, graphs included."""

    def report(line: dict[str, Any]) -> None:
        if line["stage"] == "student" and "epoch" in line:
            (path,) = place.store.glob("student/.*.work/*/state.json")
            saved = saved_state(path.parent)
            assert saved is not None
            found.append(saved.load()["content"]["network"])

    return report


@pytest.mark.parametrize(
    "values",
    [
        {"graph.edges": "gain"},
        {"graph.edges": "learned", "graph.representation_edges": "dimension"},
        {"graph.edges": "learned_global", "graph.targets": "mixed"},
    ],
)
@pytest.mark.parametrize("outputs", ["bank", "live"])
def test_interrupted_and_resumed_it_equals_an_uninterrupted_run_to_the_bit(
    tiny_graph: ExperimentSettings, after_teachers: Make, contents: Contents, values: dict[str, Any], outputs: str
) -> None:
    """Graphs included: running means of distances, learned edges, and the hashes of the sketches, without which the third epoch
    would be another."""
    settings = with_values(tiny_graph, {**values, "teachers.outputs": outputs})

    def stopping(line: dict[str, Any]) -> None:
        if (line["stage"], line.get("epoch")) == ("student", 2):
            raise KeyboardInterrupt

    whole, parts = after_teachers("whole"), after_teachers("parts")
    states: list[dict[str, Tensor]] = []
    expected = run_experiment(Experiment(settings, 0), whole, states_of(whole, states))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(Experiment(settings, 0), parts, stopping)
    resumed = run_experiment(Experiment(settings, 0), parts, states_of(parts, states))
    assert resumed.metrics == expected.metrics
    assert contents(parts.store, resumed) == contents(whole.store, expected)
    assert len(states) == 3 + 1
    one, other = states[-2:]
    assert one.keys() == other.keys()
    graphs = {name for name in one if not name.startswith("student.")}
    edges = {
        "gain": "logits_graph.edges.running_means",
        "learned": "logits_graph.edges.edge.weight",
        "learned_global": "logits_graph.edges.adjacency",
    }
    assert {edges[values["graph.edges"]], "representation_graph.edges.logits"} <= graphs
    assert any("vertices" in name for name in graphs)
    for name in one:
        assert torch.equal(one[name], other[name]), name
    assert float(one[edges[values["graph.edges"]]].abs().max()) > 0


def test_shares_of_the_gradient_are_measured_once_an_epoch(taught: tuple[Path, Result]) -> None:
    """Of the tiny distillation: at the first batch the representation graph has the share that was asked for; later others."""
    place, result = taught
    artifact = Store(place).find("student", result.stages["student"])
    assert artifact is not None
    lines = artifact.history()
    assert len(lines) == 3 and all(line["student/share_logits"] > 0 for line in lines)
    assert lines[0]["student/share_representation"] == pytest.approx(0.5, rel=1e-4)
    assert len({line["student/share_representation"] for line in lines}) == 3
    assert len({line["student/representation_weight"] for line in lines}) == 1


@pytest.mark.parametrize("recipe", ["student", "distillation"])
def test_the_best_epoch_can_be_kept(tiny_graph: ExperimentSettings, after_teachers: Make, recipe: str) -> None:
    """The first of those that are best on validation. It is the student alone that is left, whatever it was trained with."""
    settings = with_values(tiny_graph, {"recipe": recipe, "student.keep": "best"})
    place, states = after_teachers(), list[dict[str, Tensor]]()
    result = run_experiment(Experiment(settings, 0), place, states_of(place, states))
    artifact = Store(place.store).find("student", result.stages["student"])
    assert artifact is not None
    scores = [line["student/val_top1"] for line in artifact.history()]
    best = states[scores.index(max(scores))]
    kept = artifact.tensors()
    assert kept.keys() == AlexNet(settings, 6).state_dict().keys()
    for name, value in kept.items():
        assert torch.equal(value, best[f"student.{name}" if recipe == "distillation" else name]), name


def test_a_loss_that_becomes_nan_names_the_student(tiny_graph: ExperimentSettings, after_teachers: Make) -> None:
    settings = with_values(tiny_graph, {"student.learning_rate": 1e30, "student.optimiser": "sgd"})
    with pytest.raises(NonFiniteLoss, match=r"^student: .* in epoch [123]$"):
        run_experiment(Experiment(settings, 0), after_teachers(), ignore)


def test_a_teacher_of_other_classes_is_refused(
    tiny_graph: ExperimentSettings, after_teachers: Make, work_of: WorkOf, tmp_path: Path
) -> None:
    """Of cached answers the logits say it, of a live teacher its last layer."""
    says = "the tracking teacher has 5 classes and the student 6: they must be finetuned on the same data set"
    with pytest.raises(DataError, match=says):
        check_classes("tracking", 5, 6)
    for outputs, ask in (("bank", _banked), ("live", _live)):
        settings = with_values(tiny_graph, {"teachers.outputs": outputs})
        work = work_of("student", settings, after_teachers(outputs))
        name = "train" if outputs == "bank" else "weights"
        tensors = {
            key: value[..., :5] if key == "logits" else value[:5] if key.startswith("classifier.6.") else value
            for key, value in work.inputs["tracking"].tensors(name).items()
        }
        publish = Workplace(Store(tmp_path / outputs), "tracking", "other").publish
        other = publish(settings={}, metrics={}, tensors={name: tensors})
        changed = replace(work, inputs={**work.inputs, "tracking": other})
        with pytest.raises(DataError, match=says):
            ask(changed, TEACHERS)


def from_file(tiny_graph: ExperimentSettings, **values: Any) -> ExperimentSettings:
    return with_values(tiny_graph, {"recipe": "student", "student.initialisation": "imagenet", **values})


def test_it_starts_from_the_weights_of_a_file(tiny_graph: ExperimentSettings, runtime: Make, tmp_path: Path) -> None:
    """Of other classes, whose last layer is not taken over; at a learning rate of almost nothing the others are still there."""
    settings = from_file(tiny_graph, **{"student.learning_rate": 1e-12, "student.epochs": 1})
    torch.manual_seed(5)
    weights = AlexNet(settings, 9).state_dict()
    save_file(weights, tmp_path / "alexnet.safetensors")
    place = runtime(weights=(("alexnet", tmp_path / "alexnet.safetensors"),))
    result = run_experiment(Experiment(settings, 0), place, ignore)
    artifact = Store(place.store).find("student", result.stages["student"])
    assert artifact is not None
    found = artifact.tensors()
    assert found["classifier.6.weight"].shape == (6, 8)
    parameters = [name for name, _ in AlexNet(settings, 9).named_parameters() if not name.startswith("classifier.6.")]
    assert len(parameters) > 20
    for name in parameters:
        torch.testing.assert_close(found[name], weights[name], atol=1e-6, rtol=0)


def test_weights_of_another_network_end_the_experiment_with_the_first_key_that_differs(
    tiny_graph: ExperimentSettings, runtime: Make, tmp_path: Path
) -> None:
    """And what cannot be read, or is not given at all."""
    settings = from_file(tiny_graph)
    path = tmp_path / "alexnet.pth"
    place = runtime(weights=(("alexnet", path),))
    torch.save(AlexNet(with_values(settings, {"alexnet.channels": [5, 6, 6, 6, 6]}), 6).state_dict(), path)
    says = r"alexnet\.pth: weights of another network than this AlexNet: 'features\.0\.bias' is \(5,\), expected \(4,\)"
    with pytest.raises(DataError, match=says):
        run_experiment(Experiment(settings, 0), place, ignore)
    path.write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"alexnet\.pth: not readable as a file of weights"):
        run_experiment(Experiment(settings, 0), runtime("other", weights=(("alexnet", path),)), ignore)
    with pytest.raises(DataError, match="give the weights of AlexNet with --weights alexnet=FILE"):
        run_experiment(Experiment(settings, 0), runtime(), ignore)


def test_what_it_cannot_start_from_is_told_before_its_teachers_are_trained(
    tiny_graph: ExperimentSettings, runtime: Make, tmp_path: Path
) -> None:
    (tmp_path / "alexnet.pth").write_bytes(b"no weights")
    place = runtime(weights=(("alexnet", tmp_path / "alexnet.pth"),))
    settings = with_values(tiny_graph, {"student.initialisation": "imagenet"})
    with pytest.raises(DataError, match=r"alexnet\.pth: not readable as a file of weights"):
        run_experiment(Experiment(settings, 0), place, ignore)
    assert not place.store.exists()


def test_a_student_trained_in_parts_is_the_undivided_one(
    taught: tuple[Path, Result], tiny_graph: ExperimentSettings, clips: Path, work_of: WorkOf, run_stage: RunStage
) -> None:
    """Without batch norm and dropout, and with losses that are means over samples: weights and metrics after six steps on
    batches of five, in parts of three and two, up to rounding, which Adam would magnify where a gradient is next to nothing.
    Every part is asked of the bank by its own clips."""
    values = {"alexnet.batch_norm": False, "alexnet.dropout": 0.0, "graph.distance": "kl", "graph.edges": "learned_global"}
    values |= {"student.optimiser": "sgd", "student.learning_rate": 0.05}
    settings = with_values(tiny_graph, {**values, "graph.bandwidth": 0.1, "graph.representation_weight": 1.0})
    place = Runtime(taught[0], clips, device="cpu")
    inputs = work_of("student", settings, place).inputs
    whole, in_parts = (
        run_stage("student", with_values(settings, {"compute.accumulation": parts}), place, inputs=inputs) for parts in (1, 2)
    )
    for name, value in whole.tensors().items():
        torch.testing.assert_close(in_parts.tensors()[name], value, rtol=1e-3, atol=1e-5, msg=name)
    expected, metrics = (
        {name: value for name, value in artifact.done["metrics"].items() if "/share_" not in name}
        for artifact in (whole, in_parts)
    )
    assert metrics == pytest.approx(expected, rel=1e-3, abs=1e-5), "all but shares, which are means of those of the parts"
    assert metrics != expected, "rounding tells that it was divided"


def test_labels_on_the_bank_s_views_are_what_a_distilled_student_of_weight_0_learns_from(
    tiny_graph: ExperimentSettings, after_teachers: Make, run_stage: RunStage
) -> None:
    """With lambda = 0 what teachers say adds an exact 0, so the weights are those of the labels alone, on the same clips in the
    same order; on fresh clips they are others. A distilled student's key does not know of `student.views`."""
    place = after_teachers()
    kd = {"graph.logits": "average", "graph.representation": "none", "graph.imitation_weight": 0.0, "views.views": 2}
    taught = run_stage("student", with_values(tiny_graph, kd), place)
    found = {
        views: run_stage(
            "student", with_values(tiny_graph, {"recipe": "student", "student.views": views, "views.views": 2}), place
        )
        for views in ("fresh", "bank")
    }
    same = {
        views: all(torch.equal(value, taught.tensors()[name]) for name, value in artifact.tensors().items())
        for views, artifact in found.items()
    }
    assert same == {"fresh": False, "bank": True}
    assert found["fresh"].key != found["bank"].key
    assert run_stage("student", with_values(tiny_graph, {**kd, "student.views": "bank"}), place).key == taught.key
