"""Finetuning of teachers: which layers start from the self-supervised encoder, and which of them keep their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainables.models import make_encoder
from trainables.models.alexnet import AlexNet
from trainables.models.weights import convolution_weights
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, SettingsError, with_values
from trainables.stages.transfer import Transfer
from trainables.store import Store
from trainables.tasks import find_task

Make = Callable[..., Runtime]


def ignore(line: dict[str, Any]) -> None:
    pass


def layer_of(name: str) -> int:
    """Number of the layer that a tensor of an encoder belongs to, from 1."""
    return int(name.removeprefix("features.").partition(".")[0]) + 1


@pytest.mark.parametrize("task", ["sorting", "prediction"])
@pytest.mark.parametrize(("layers", "freeze"), [(1, True), (1, False), (None, True), (None, False)])
def test_finetuning_starts_from_the_transferred_layers_and_trains_what_is_not_frozen(
    tiny_graph: ExperimentSettings, after_teachers: Make, task: str, layers: int | None, freeze: bool
) -> None:
    """Against the self-supervised stage's artifact. Frozen layers are the same to the bit, batch-norm statistics and counts of
    batches included. At a learning rate of almost nothing the weights of transferred layers are still the teacher's. Those of
    other layers start fresh."""
    values = {"transferred_layers": layers, "freeze": freeze, "learning_rate": 0.1 if freeze else 1e-9, "weight_decay": 0.0}
    changes = {f"teacher_finetune.{name}": value for name, value in values.items()}
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": task, **changes})
    place = after_teachers()
    result = run_experiment(Experiment(settings, 0), place, ignore)
    before, after = (Store(place.store).find(kind, result.stages[kind]) for kind in (task, f"{task}_classifier"))
    assert before is not None
    assert after is not None
    pretrained, finetuned = before.tensors(), after.tensors()
    network = make_encoder(find_task(task).encoder, settings, 6)
    assert finetuned.keys() == network.state_dict().keys()
    transferred = len(network.layers()) if layers is None else layers
    for name, value in pretrained.items():
        kept = layer_of(name) <= transferred
        if value.dim() > 1 or (kept and freeze):
            same = torch.equal(finetuned[name], value) if freeze else torch.allclose(finetuned[name], value, atol=1e-6, rtol=0)
            assert same == kept, name


@pytest.mark.parametrize("task", ["sorting", "prediction"])
def test_a_selffer_network_starts_from_a_classifier_of_its_own_labels(
    tiny_graph: ExperimentSettings, runtime: Make, task: str
) -> None:
    """Yosinski et al.'s BnB: the first layer is the classifier's to the bit, the others and the head are not; no task is
    learned."""
    values = {"transferred_from": "classifier", "transferred_layers": 1, "freeze": True}
    changes = {f"teacher_finetune.{name}": value for name, value in values.items()}
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": task, **changes})
    place = runtime()
    result = run_experiment(Experiment(settings, 0), place, ignore)
    source = f"{find_task(task).encoder}_classifier"
    assert task not in result.stages
    before, after = (Store(place.store).find(kind, result.stages[kind]) for kind in (source, f"{task}_classifier"))
    assert before is not None and after is not None
    whole, split = before.tensors(), after.tensors()
    assert whole.keys() == split.keys()
    for name, value in whole.items():
        if name.startswith("features.0."):
            assert torch.equal(split[name], value), name
        elif value.dim() > 1:
            assert not torch.allclose(split[name], value, atol=1e-3), name


def test_layers_of_a_student_start_from_another_student(tiny_graph: ExperimentSettings, runtime: Make) -> None:
    """The first two convolutions, frozen; what comes after them started from other weights than the first student's, too."""
    values = {"recipe": "student", "student.transferred_layers": 2, "student.learning_rate": 1e-9, "student.weight_decay": 0.0}
    settings = with_values(tiny_graph, {**values, "student.freeze": True})
    place = runtime()
    result = run_experiment(Experiment(settings, 0), place, ignore)
    before, after = (Store(place.store).find(kind, result.stages[kind]) for kind in ("student", "student_selffer"))
    assert before is not None and after is not None
    whole, split = before.tensors(), after.tensors()
    assert whole.keys() == split.keys()
    network = AlexNet(settings, 6)
    own = {name: id(value) for name, value in network.state_dict(keep_vars=True).items()}
    leading = {id(value) for layer in network.layers()[:2] for value in (*layer.parameters(), *layer.buffers())}
    for name, value in whole.items():
        if own[name] in leading:
            assert torch.equal(split[name], value), name
        elif value.dim() > 1:
            assert not torch.allclose(split[name], value, atol=1e-3), name
    with pytest.raises(SettingsError, match="of recipe student: a student with teachers starts as a whole"):
        with_values(tiny_graph, {"student.transferred_layers": 2})


@pytest.mark.parametrize("task", ["sorting", "prediction"])
def test_one_from_scratch_needs_no_task_and_is_what_transferring_no_layer_is(
    tiny_graph: ExperimentSettings, after_teachers: Make, task: str
) -> None:
    """Nothing is pretrained for it; to transfer none of the encoder's layers leaves every tensor of the fresh network."""
    changes = {"recipe": "fusion", "teachers.tasks": task, "teacher_finetune.transferred_layers": 0}
    settings = with_values(tiny_graph, changes)
    result = run_experiment(Experiment(settings, 0), after_teachers(), ignore)
    assert sorted(result.stages) == sorted(["fusion", f"{task}_classifier", f"{task}_views"])
    assert 0 <= result.metrics[f"test/{task}_top1"] <= 1
    fresh = make_encoder(find_task(task).encoder, settings, 6)
    untouched = {name: value.clone() for name, value in fresh.state_dict().items()}
    Transfer(fresh, convolution_weights(make_encoder(find_task(task).encoder, settings)), 0, False)
    assert all(torch.equal(value, untouched[name]) for name, value in fresh.state_dict().items())
