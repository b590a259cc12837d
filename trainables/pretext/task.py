"""What a pretext task is: a sampler of clips with labels, a network around the backbone, and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from trainables.models import Backbone
from trainables.settings import ExperimentSettings
from trainables.video.sampling import SampledClips


class PretextTask(ABC):
    """A self-supervised task. A subclass is made from the settings and holds no state of training.

    reads: settings that the pretext stage of this task depends on, by dotted prefix; they enter its key. reads_for_views: of
    these the ones that `views` depends on, so that auxSKD is shared by whatever differs in the others.
    """

    reads: ClassVar[tuple[str, ...]]
    reads_for_views: ClassVar[tuple[str, ...]]

    def __init__(self, settings: ExperimentSettings) -> None:
        self.settings = settings

    @property
    def minimum_frames(self) -> int:
        """Videos with fewer frames are left out of the pretext stage, and counted."""
        return 0

    @abstractmethod
    def sample(self, frames: int, rng: np.random.Generator) -> SampledClips:
        """The clips (V, K) of one training sample, with their labels."""

    @abstractmethod
    def views(self, frames: int, rng: np.random.Generator) -> SampledClips:
        """Two clips (2, K) of the same video from this task's own transformation: the views of auxSKD."""

    @abstractmethod
    def network(self, backbone: Backbone, pretrained: bool) -> nn.Module:
        """Everything that is trained: a module that holds `backbone` and new heads (and whatever else has state).

        pretrained: whether the backbone's weights come from auxSKD; what starts as its copy otherwise starts fresh then.
        """

    @abstractmethod
    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss of a batch (scalar), and metrics over its samples, each a tensor whose mean counts.

        clips: (B, V, 3, K, H, W). labels: (B,) each. In evaluation mode nothing in `network` changes.
        """
