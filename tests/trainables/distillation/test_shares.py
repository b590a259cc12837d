"""Shares of the gradient that parts of the student's loss have, and the balanced weight: against gradients of a student of its
own; and that looking changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainables.distillation.shares import Balance, gradient_norm
from trainables.distillation.student import TaughtStudent
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.alexnet import AlexNet
from trainables.settings import ExperimentSettings, with_values

CLIPS = torch.rand(5, 3, 8, 12, 12, generator=torch.Generator().manual_seed(2))
TARGETS = torch.tensor([0, 5, 2, 2, 1])


def taught(settings: ExperimentSettings) -> TaughtStudent:
    torch.manual_seed(0)
    return TaughtStudent(
        AlexNet(settings, 6), settings.graph, Teachers(("sorting", "prediction"), (4, 6), (torch.zeros(6, 3),) * 2)
    )


def answers() -> Answers:
    generator = torch.Generator().manual_seed(1)
    maps = [torch.rand(5, channels, side, side, generator=generator) for channels, side in ((4, 3), (6, 4))]
    return Answers(torch.randn(2, 5, 6, generator=generator), maps)


def norm_at(network: TaughtStudent, loss: Tensor, parameters: list[torch.nn.Parameter]) -> float:
    """By a backward pass of the loss alone."""
    network.zero_grad()
    loss.backward()
    return float(torch.cat([one.grad.double().flatten() for one in parameters if one.grad is not None]).norm())


@pytest.mark.parametrize("representation", ["none", "graph", "single"])
@pytest.mark.parametrize("logits", ["average", "graph"])
def test_shares_against_backward_passes_of_each_part(tiny_graph: ExperimentSettings, logits: str, representation: str) -> None:
    """Over the cross entropy's, at the fourth convolution, or at the last layer where no map is imitated. Dropout is off."""
    values = {"graph.logits": logits, "graph.representation": representation, "graph.representation_weight": 2.5}
    settings = with_values(tiny_graph, {**values, "graph.imitation_weight": 0.3, "alexnet.dropout": 0.0})
    found = taught(settings).loss(CLIPS, TARGETS, answers(), measured=True)[1]

    def norms(part: str) -> float:
        network = taught(settings)
        layer = network.student.classifier[-1] if representation == "none" else network.student.layers()[3]
        outputs = network.student.outputs(CLIPS, 4)
        if part == "labels":
            loss = functional.cross_entropy(outputs.logits, TARGETS)
        elif part == "logits":
            loss = 0.3 * network.logits_graph(outputs, answers(), TARGETS)[0]
        else:
            loss = 2.5 * network.representation_graph(outputs.map, answers().maps)[0]
        return norm_at(network, loss, list(layer.parameters()))

    assert float(found["share_logits"]) == pytest.approx(norms("logits") / norms("labels"), rel=1e-4)
    assert ("share_representation" in found) == (representation != "none")
    if representation != "none":
        assert float(found["share_representation"]) == pytest.approx(norms("representation") / norms("labels"), rel=1e-4)
    assert "representation_weight" not in found


def test_looking_changes_neither_loss_nor_gradient_nor_state_nor_random_numbers(tiny_graph: ExperimentSettings) -> None:
    """To the bit, with dropout and batch norm on; and only a batch that is looked at has the metrics."""
    settings = with_values(tiny_graph, {"graph.representation_weight": 3.0, "graph.representation_edges": "vertex"})
    found: list[tuple[Any, ...]] = []
    for measured in (False, True):
        network = taught(settings).train()
        torch.manual_seed(4)
        loss, metrics = network.loss(CLIPS, TARGETS, answers(), measured)
        assert all(one.grad is None for one in network.parameters()), "gradients of parts are not left behind"
        loss.backward()
        gradients = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
        found.append((loss, gradients, network.state_dict(), torch.get_rng_state(), metrics))
    (loss, gradients, state, random, metrics), looked = found
    assert torch.equal(loss, looked[0]) and torch.equal(random, looked[3])
    for one, other in ((gradients, looked[1]), (state, looked[2])):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert looked[4].keys() - metrics.keys() == {"share_logits", "share_representation"}


def test_a_balanced_weight_gives_the_share_at_the_first_batch_and_stays(tiny_graph: ExperimentSettings) -> None:
    """Whatever the maps' scale; afterwards the share is what it becomes. The weight goes through a checkpoint."""
    settings = with_values(tiny_graph, {"graph.representation_share": 0.8, "alexnet.dropout": 0.0})
    network = taught(settings)
    first = network.loss(CLIPS, TARGETS, answers(), measured=True)[1]
    assert float(first["share_representation"]) == pytest.approx(0.8, rel=1e-4)
    weight = float(first["representation_weight"])
    assert weight > 0
    other = torch.rand(5, 3, 8, 12, 12)
    later = network.loss(other, TARGETS.flip(0), answers(), measured=True)[1]
    assert float(later["representation_weight"]) == weight
    assert float(later["share_representation"]) != pytest.approx(0.8, rel=1e-3)

    resumed = taught(settings)
    resumed.load_state_dict(copy.deepcopy(network.state_dict()))
    assert torch.equal(resumed.loss(other, TARGETS, answers())[0], network.loss(other, TARGETS, answers())[0])
    fixed = taught(with_values(settings, {"graph.representation_weight": weight}))
    fixed.load_state_dict({name: value for name, value in network.state_dict().items() if name != "balance.weight"})
    assert float(fixed.loss(other, TARGETS, answers())[0].detach()) == pytest.approx(
        float(network.loss(other, TARGETS, answers())[0].detach()), rel=1e-6
    )


def test_a_weight_of_one_is_the_plain_sum_to_the_bit(tiny_graph: ExperimentSettings) -> None:
    """(1 - lambda) CE + lambda L_logits + L_representation, as before there was a balance."""
    network = taught(with_values(tiny_graph, {"graph.representation_weight": 1.0})).eval()
    loss, metrics = network.loss(CLIPS, TARGETS, answers())
    expected = (1 - 0.6) * metrics["hard_loss"] + 0.6 * metrics["logits_loss"] + 1.0 * metrics["representation_loss"]
    assert torch.equal(loss.detach(), expected)
    assert "balance.weight" not in network.state_dict()


def test_what_does_not_move_the_weights_has_no_share_and_the_weight_one() -> None:
    parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    loss, constant = parameter.square().sum(), torch.nn.Parameter(torch.zeros(())) + 1
    assert float(gradient_norm(loss, [parameter])) == pytest.approx(10)
    assert float(gradient_norm(constant, [parameter])) == 0
    for one, other in ((loss, constant), (constant, loss)):
        assert float(Balance(0.5)(one, other, [parameter])) == 1
    assert float(Balance(0.5)(4 * loss, loss, [parameter])) == pytest.approx(0.125)
