"""What networks cost: parameters, operations and memory of networks small enough to count by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.models import make_encoder
from trainables.models.encoder import Encoder, Outputs
from trainables.models.weights import parameter_count
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TEACHER_TASKS, ExperimentSettings, with_values
from trainables.stages.compression import LiveBytes, measure
from trainables.tasks import find_task

FLOAT = 4


class OneConvolution(Encoder):
    """Four 3x3 filters on the first frame, and a last layer of two classes."""

    reads = ()

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
        self.classifier = nn.Sequential(nn.Linear(4, 2))

    def layers(self) -> list[nn.Module]:
        return list(self.features)

    def outputs(self, clips: Tensor, layer: int) -> Outputs:
        maps = self.features(clips[:, :, 0])
        features = maps.mean((2, 3))
        return Outputs(self.classifier(features), maps, features)


def test_a_convolution_by_hand() -> None:
    """4 * 3 * 9 weights at 5 * 7 places and 4 * 2 of the last layer, each a multiplication and an addition; in memory the
    weights, and the map, features and logits, which are all handed out."""
    found = measure(OneConvolution().eval(), torch.zeros(1, 3, 2, 5, 7))
    weights = 4 * 3 * 9 + 4 + 4 * 2 + 2
    assert found["parameters"] == weights
    assert found["flops"] == 2 * (4 * 3 * 9 * 5 * 7 + 4 * 2)
    assert found["latency"] > 0
    assert found["peak_memory"] == (weights + 4 * 5 * 7 + 4 + 2) * FLOAT


@pytest.mark.parametrize(
    ("layers", "most"),
    [
        ([nn.ReLU(), nn.ReLU(), nn.ReLU()], 2),  # a layer's input goes when the next one has its own
        ([nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU(inplace=True)], 1),
        ([nn.ReLU(), nn.Flatten(), nn.Unflatten(1, (2, -1))], 1),  # views need no memory
        ([nn.Identity(), nn.Flatten()], 0),  # what is given from outside does not count
    ],
)
def test_bytes_that_live_at_once(layers: list[nn.Module], most: int) -> None:
    network = nn.Sequential(*layers).eval()
    clip = torch.zeros(1, 10, 100)
    with torch.no_grad(), LiveBytes(network) as memory:
        network(clip)
    assert memory.peak == most * 1000 * FLOAT
    assert memory.total == 0, "nothing is left"


def test_results_that_are_kept_count_together_beside_weights_and_buffers() -> None:
    network = nn.BatchNorm1d(10).eval()
    own = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    with torch.no_grad(), LiveBytes(network) as memory:
        kept = [torch.ones(100) for _ in range(3)]
    assert memory.peak == memory.total == own + 3 * 100 * FLOAT
    del kept
    assert memory.total == own


def test_costs_of_teachers_and_student(tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Without training anything: no stage but this one. Parameters are those of networks with the data's six classes."""
    settings = with_values(tiny_graph, {"evaluation.measures": ["compression"]})
    lines: list[dict[str, Any]] = []
    result = run_experiment(Experiment(settings, 0), runtime(), lines.append)
    assert list(result.stages) == ["compression"]
    assert [line["epoch"] for line in lines if "epoch" in line] == [1, 2, 3, 4, 5]
    networks = {task: make_encoder(find_task(task).encoder, settings, 6) for task in TEACHER_TASKS}
    networks["student"] = make_encoder("alexnet", settings, 6)
    quantities = {"parameters", "flops", "latency", "peak_memory"}
    assert set(result.metrics) == {f"compression/{name}_{quantity}" for name in networks for quantity in quantities}
    for name, network in networks.items():
        assert result.metrics[f"compression/{name}_parameters"] == parameter_count(network)
        assert result.metrics[f"compression/{name}_peak_memory"] > parameter_count(network) * FLOAT
    for quantity in ("parameters", "flops", "peak_memory"):
        of_vgg = {result.metrics[f"compression/{task}_{quantity}"] for task in ("sorting", "ego_motion", "tracking")}
        assert len(of_vgg) == 1, "one network"
