"""Frame prediction (PredNet, Lotter et al. 2017; Sec. 3 and 5.1): the next frame, from all before it.

A sample is one clip of frames that lie `stride` apart. The loss is the mean of PredNet's error units, weighted over layers
([1, 0, ...]: the released L_0; [1, 0.1, ...]: L_all) and over time: the first frame, of which nothing is known, does not count,
all others alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from trainables.models.encoder import Encoder
from trainables.models.prednet import PredNet, resized
from trainables.tasks.task import Batches, SelfSupervisedTask
from trainables.video.sampling import SampledClips, consecutive_clip
from trainables.video.videos import Video


class PredictionNetwork(nn.Module):
    """PredNet alone. Clips (B, 3, K, H, W) to the means of its error units (B, K, L), per frame and layer."""

    def __init__(self, encoder: PredNet) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, clips: Tensor) -> Tensor:
        return self.encoder.errors(clips)


def weighted_errors(errors: Tensor, upper_layers: float) -> Tensor:
    """The loss (B,) of error means (B, K, L): layers weighted 1, then `upper_layers`; all frames but the first alike."""
    weights = errors.new_full(errors.shape[2:], upper_layers)
    weights[0] = 1
    return errors[:, 1:].mean(1) @ weights


class Prediction(SelfSupervisedTask):
    """The task; its settings are the group `prediction`."""

    name = "prediction"
    encoder = "prednet"

    @property
    def minimum_frames(self) -> int:
        return (self.settings.video.clip_frames - 1) * self.settings.prediction.stride + 1

    @property
    def needs(self) -> str:
        return f"prediction needs {self.minimum_frames} frames (video.clip_frames, prediction.stride)"

    def valid_for(self, longest: int) -> str:
        most = (longest - 1) // (self.settings.video.clip_frames - 1)
        return f", which allow a prediction.stride of at most {most}" if most else ""

    def baseline(self, batches: Batches) -> Mapping[str, float]:
        """The frame before is what comes next: copying."""
        seen = (torch.stack(resized(clips[:, 0], self.settings.prednet.side), dim=1) for clips, _ in batches)
        return {"error": float(torch.cat([frames.diff(dim=1).abs().flatten(1).mean(1) for frames in seen]).double().mean())}

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        return consecutive_clip(video, rng, self.settings.video.clip_frames, self.settings.prediction.stride)

    def network(self, encoder: Encoder, pretrained: bool = False) -> nn.Module:
        assert isinstance(encoder, PredNet)
        return PredictionNetwork(encoder)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted mean of the error units, and `error`, in the units of the pixels, 0 to 1.

        It is the mean absolute difference of predicted and true frames; an error unit holds only one sign of it, the other one
        is 0, so that is twice their mean.
        """
        errors = network(clips[:, 0]).float()
        error = 2 * errors.detach()[:, 1:, 0].mean(1)
        return weighted_errors(errors, self.settings.prediction.upper_layers).mean(), {"error": error}
