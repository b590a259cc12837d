"""What a pretext task is: a sampler of clips with labels, heads on the backbone's features, and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from trainables.settings import ExperimentSettings
from trainables.video.sampling import SampledClips


class PretextTask(ABC):
    """A self-supervised task. A subclass is made from the settings and holds no state of training."""

    def __init__(self, settings: ExperimentSettings) -> None:
        self.settings = settings

    @abstractmethod
    def sample(self, frames: int, rng: np.random.Generator) -> SampledClips:
        """The clip or clips of one training sample, with their labels."""

    @abstractmethod
    def views(self, frames: int, rng: np.random.Generator) -> SampledClips:
        """Two clips (2, K) of the same video from this task's own transformation: the views of auxSKD."""

    @abstractmethod
    def heads(self, features: int) -> nn.Module:
        """New heads: features (B, features) to the outputs that `loss` reads."""

    @abstractmethod
    def loss(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss over the batch (scalar) and metrics, each a tensor over samples whose mean counts."""
