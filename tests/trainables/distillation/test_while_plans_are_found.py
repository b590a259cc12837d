"""The student's loss gives the device the representation graph's work between asking for exact plans and waiting for them; and
is to the bit what it is when they are found at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from trainables.distillation import transport
from trainables.distillation.logits_graph import LogitsGraph
from trainables.distillation.representation_graph import RepresentationGraph
from trainables.distillation.student import TaughtStudent
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.alexnet import AlexNet
from trainables.settings import ExperimentSettings, with_values

GENERATOR = torch.Generator().manual_seed(2)
CLIPS, TARGETS = torch.rand(7, 3, 8, 12, 12, generator=GENERATOR), torch.tensor([0, 5, 2, 2, 1, 4, 3])
ANSWERS = Answers(
    torch.randn(2, 7, 6, generator=GENERATOR),
    [torch.rand(7, channels, side, side, generator=GENERATOR) for channels, side in ((4, 3), (6, 4))],
    [torch.rand(7, length, generator=GENERATOR) for length in (3, 3)],
)


def taught(settings: ExperimentSettings) -> TaughtStudent:
    torch.manual_seed(0)
    teachers = Teachers(("sorting", "prediction"), (4, 6), (torch.rand(6, 3, generator=GENERATOR),) * 2)
    return TaughtStudent(AlexNet(settings, 6), settings.graph, teachers)


def test_the_maps_are_compared_while_plans_are_found(tiny_graph: ExperimentSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def noted(owner: type, method: str) -> None:
        original = getattr(owner, method)
        monkeypatch.setattr(owner, method, lambda *given: done.append(method) or original(*given))

    noted(transport.Assignments, "__init__")
    noted(RepresentationGraph, "forward")
    noted(transport.Assignments, "found")
    taught(with_values(tiny_graph, {"graph.distance": "em"})).loss(CLIPS, TARGETS, ANSWERS)
    assert done == ["__init__", "forward", "found"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"graph.edges": "learned"},
        {"graph.targets": "mixed", "graph.sample_cost_of": "label"},
        {"graph.representation": "single", "graph.gain_of": "sample"},
        {"graph.representation_weight": 1.0, "graph.total": "sum", "graph.edges": "learned_global"},
    ],
)
def test_the_order_changes_no_bit(
    tiny_graph: ExperimentSettings, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    """Loss, metrics and the gradients of all weights, after two steps that move what graphs remember."""
    settings = with_values(tiny_graph, {"graph.distance": "em", **values})

    def steps() -> list[Tensor]:
        GENERATOR.manual_seed(3)
        network, found = taught(settings), []
        for measured in (True, False, False):
            network.zero_grad()
            loss, metrics = network.loss(CLIPS, TARGETS, ANSWERS, measured)
            loss.backward()
            found += [loss.detach(), *metrics.values()]
            found += [one.grad.clone() for one in network.parameters() if one.grad is not None]
        return found

    ours, start = steps(), LogitsGraph.start

    def at_once(graph: LogitsGraph, *given: Any) -> Any:
        answer = start(graph, *given)()
        return lambda: answer

    monkeypatch.setattr(LogitsGraph, "start", at_once)
    theirs = steps()
    assert len(ours) == len(theirs) > 30
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("tied", [1, 2, 3, 50])
def test_plans_of_tied_costs_are_as_cheap_as_those_of_network_simplex(tied: int) -> None:
    """Costs are whole numbers below `tied`, so that there are many cheapest plans; each of them gives every j once."""
    cost = torch.randint(tied, (3, 20, 20), generator=torch.Generator().manual_seed(tied)).double()
    plans = transport.Assignments(cost).found()
    assert all(sorted(plan) == list(range(20)) for plan in plans.tolist())
    weight = np.full(20, 1 / 20)
    expected = [ot.emd2(weight, weight, table.numpy()) for table in cost]
    assert cost.gather(2, plans[..., None]).mean((1, 2)).tolist() == pytest.approx(expected)
