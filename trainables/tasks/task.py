"""What a self-supervised task is: a sampler of clips with labels, a network around an encoder, and a loss.

Pretext tasks and the tasks of graph distillation's teachers are the same thing with other networks: `encoder` says whose. A
task of your own is a subclass in a file of yours, named by import path (`pretext.task=rotation:Rotation`); `check_task` in
trainables/checks.py says whether it keeps the contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from trainables.models import BACKBONE
from trainables.settings import AugmentationSettings, ExperimentSettings, SelfSupervisedSettings, Settings
from trainables.video.sampling import SampledClips, consecutive_clip
from trainables.video.videos import Video

LONG_VIDEO = 10_000
"""Frames, more than any task asks for."""

Batches = Iterable[tuple[Tensor, Mapping[str, Tensor]]]
"""Clips (B, V, 3, K, H, W) as the network takes them, and the labels of each batch."""

Tracks = Mapping[str, np.ndarray]
"""Tracked patches of each video that has any, by its name: trainables/tasks/tracks.py."""


class SelfSupervisedTask(ABC):
    """A self-supervised task, made from the settings of an experiment; it holds no state of training.

    name: of the task, and of the group of its own settings.
    encoder: whose network is trained: BACKBONE, or an encoder of the registry (`vgg`, `prednet`).
    settings_model: the model of that group, of a task from outside the package, which has none in ExperimentSettings; a
    teacher's holds the schedule of its training, so it extends SelfSupervisedSettings.
    version: of such a task; raise it when a change makes what it trained wrong.
    published: settings that its authors published, over preset paper; sources in docs/fidelity.md.
    compares_samples: whether its loss compares the samples of a batch, so that it is not the mean of what parts of it give.
    knows_end: whether its loss depends on how many epochs there are, so that more of them are another training from the first
    on; other tasks cannot read how many.
    """

    name: ClassVar[str]
    encoder: ClassVar[str] = BACKBONE
    settings_model: ClassVar[type[Settings] | None] = None
    version: ClassVar[int] = 1
    published: ClassVar[Mapping[str, Any]] = {}
    compares_samples: ClassVar[bool] = False
    knows_end: ClassVar[bool] = False

    def __init__(self, settings: ExperimentSettings, tracks: Tracks | None = None) -> None:
        self.settings = settings
        self.tracks = tracks or {}

    @classmethod
    def reads(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        """What the task's stage depends on beyond pixels, network and schedule: settings by dotted name, or whole groups.

        They enter the stage's key, and the stage can read nothing else.
        """
        return (*cls.own_settings(settings), "video.clip_frames")

    @classmethod
    def needs_tracks(cls, settings: ExperimentSettings) -> bool:
        """Whether it is trained on tracked patches, which are mined before."""
        return False

    @classmethod
    def own_settings(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        """The settings of the task's own group, if it has one; a teacher's task has its schedule there, which is left out."""
        if not hasattr(settings, cls.name):
            return ()
        scheduled = SelfSupervisedSettings.model_fields if cls.schedule() == cls.name else {}
        fields = type(getattr(settings, cls.name)).model_fields
        return tuple(f"{cls.name}.{name}" for name in fields if name not in scheduled)

    @classmethod
    def reads_for_views(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        """What `views` depends on. Whatever differs in other settings shares one auxSKD."""
        return cls.reads(settings)

    @classmethod
    def schedule(cls) -> str:
        """The group of settings with the schedule of its training: that of the backbone's pretext task, or the task's own."""
        return "pretext" if cls.encoder == BACKBONE else cls.name

    @property
    def optimisation(self) -> SelfSupervisedSettings:
        group: SelfSupervisedSettings = getattr(self.settings, self.schedule())
        return group

    @property
    def own(self) -> Any:
        """The group of the task's own settings."""
        return getattr(self.settings, self.name)

    @property
    def augmentation(self) -> AugmentationSettings:
        """How training samples are changed: without what would change their labels."""
        return self.settings.augmentation

    @property
    def chance(self) -> Mapping[str, float]:
        """What guessing reaches, by the names of accuracies (`speed` for the metric `speed_accuracy`) where that is known."""
        return {}

    def baseline(self, batches: Batches) -> Mapping[str, float]:
        """What a rule that learns nothing reaches on validation samples: by the names that `chance` has, or by that of a metric
        which is no accuracy (`error`). A task that has no such rule reads none of the batches."""
        return {}

    @property
    def minimum_frames(self) -> int:
        """Videos with fewer frames are left out of the task's stage, and counted."""
        return 0

    @property
    def needs(self) -> str:
        """What a video must have to take part, for messages."""
        return f"{self.name} needs {self.minimum_frames} frames"

    def valid_for(self, longest: int) -> str:
        """What to set where no video is long enough, the longest having so many frames; nothing where that cannot be said."""
        return ""

    def usable(self, video: Video) -> bool:
        """Whether a video can take part; others are left out, and counted."""
        return video.frames >= self.minimum_frames

    @abstractmethod
    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        """The clips (V, K) of one training sample, with their labels: a function of video, generator and settings alone."""

    def views(self, video: Video, rng: np.random.Generator) -> SampledClips:
        """Two clips (2, K) of a video, of any length, under the task's own transformation: the views of auxSKD.

        By default the first clips of two samples, and plain clips of a video that cannot take part.
        """
        if not self.usable(video):
            length = self.settings.video.clip_frames
            return SampledClips.joined([consecutive_clip(video, rng, length) for _ in range(2)])
        return SampledClips.joined([self.sample(video, rng).first() for _ in range(2)])

    @property
    def clips_of_a_sample(self) -> float:
        """How many clips cost the encoder as much as a sample; a clip is `frames.per_clip` frames to one that sees frames."""
        long = Video("long", Path("long"), 0, "long", LONG_VIDEO)
        return float(len(self.sample(long, np.random.default_rng(0)).indices))

    @abstractmethod
    def network(self, encoder: Any, pretrained: bool = False) -> nn.Module:
        """Everything that is trained: a module that holds `encoder` and new heads (and whatever else has state).

        pretrained: whether the encoder's weights come from auxSKD; what starts as its copy otherwise starts fresh then.
        """

    @abstractmethod
    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss of a batch (scalar), and metrics over its samples, each a tensor whose mean counts.

        clips: (B, V, 3, K, H, W). labels: (B,) each: the sampler's, `index` and `epoch`. What is random is drawn from torch's
        global generator and only in training mode; in evaluation mode nothing in `network` changes.
        """
