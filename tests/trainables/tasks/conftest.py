"""What the tests of the teachers' tasks share: a tiny encoder of single frames, and training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from trainables.models.encoder import FrameEncoder
from trainables.tasks import SelfSupervisedTask

Fit = Callable[[SelfSupervisedTask, nn.Module, Tensor, Mapping[str, Tensor]], list[float]]


class TinyEncoder(FrameEncoder):
    """Two convolutions: frames of 12 pixels to maps (N, 8, 3, 3)."""

    reads = ()

    def __init__(self) -> None:
        super().__init__(frames_per_clip=1)
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU()),
        )
        self.classifier = nn.Sequential(nn.Identity())

    def layers(self) -> list[nn.Module]:
        return list(self.features)

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))


@pytest.fixture
def encoder() -> TinyEncoder:
    torch.manual_seed(0)
    return TinyEncoder()


@pytest.fixture(scope="session")
def fit() -> Fit:
    """Trains on one batch for 30 steps; gives the loss at every step."""

    def train(task: SelfSupervisedTask, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> list[float]:
        torch.manual_seed(0)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        history = []
        for _ in range(30):
            loss, metrics = task.loss(network, clips, labels)
            assert loss.shape == ()
            assert all(value.shape == (len(clips),) and not value.requires_grad for value in metrics.values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            history.append(float(loss.detach()))
        return history

    return train
