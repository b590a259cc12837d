"""Graph distillation, the teachers: how networks see frames, the teachers' networks, their tasks, and their finetuning.

Defaults are the paper's text (Secs. 3 and 5); what it leaves to the works it cites is theirs, and what neither says is marked
in docs/fidelity.md.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from trainables.settings.base import Count, Fraction, NonNegative, Optimisation, Positive, SelfSupervisedSettings, Settings
from trainables.settings.registry import ELSEWHERE, TEACHER_TASKS, is_import_path, names_as_kept
from trainables.suggestions import did_you_mean

Dropout = Annotated[float, Field(ge=0, lt=1)]
Channels = Count | Annotated[tuple[Count, ...], Field(min_length=1)]
LaterLayer = Annotated[int, Field(ge=2, le=5)]


class FrameSettings(Settings):
    """How networks that see single frames (VGG, AlexNet) see a clip."""

    per_clip: Count = Field(1, description="frames of a clip, evenly spaced; their logits, maps and features are averaged")


class VGGSettings(Settings):
    """Encoder of the sorting, ego-motion and tracking teachers: VGG-19 with a larger first layer (Sec. 5.1)."""

    channels: tuple[Channels, Channels, Channels, Channels, Channels] = Field(
        (96, 128, 256, 512, 512), description="of a layer's convolutions: one number for all, or a list of one for each"
    )
    convolutions: tuple[Count, Count, Count, Count, Count] = Field((2, 2, 4, 4, 4), description="3x3 convolutions per layer")
    pooled_layers: tuple[LaterLayer, ...] = Field((2, 3, 4, 5), description="layers that start with 2x2 pooling")
    conv1_filter: Count = Field(11, description="side of the first convolution's filters")
    conv1_stride: Count = Field(1, description="VGG-19's; 4 is AlexNet's, behind which nothing is left of 224 pixels")
    cells: Count = Field(7, description="side to which the last map is averaged, at most that map's own")
    hidden: Count = Field(4096, description="units of the two layers before the last")
    dropout: Dropout = 0.5
    batch_norm: bool = Field(False, description="after every convolution; the paper names none, small networks need it")

    @property
    def widths(self) -> list[tuple[int, ...]]:
        """Channels of every convolution, by layer."""
        layers = zip(self.channels, self.convolutions, strict=True)
        return [(width,) * count if isinstance(width, int) else width for width, count in layers]

    def last_side(self, frame: int) -> int:
        """Of the map that the classifier's averages are of, from frames of so many pixels."""
        side = (frame + 2 * (self.conv1_filter // (self.conv1_stride + 1)) - self.conv1_filter) // self.conv1_stride + 1
        for _ in (*self.pooled_layers, "last"):
            side = max(side // 2, 1)
        return side

    @model_validator(mode="after")
    def _a_width_for_every_convolution(self) -> Self:
        for number, (width, count) in enumerate(zip(self.widths, self.convolutions, strict=True), start=1):
            if len(width) != count:
                raise ValueError(
                    f"channels = {list(width)} of layer {number}, where vgg.convolutions = {count}: one number for all its "
                    "convolutions, or one for each"
                )
        return self


class PredNetSettings(Settings):
    """Encoder of the prediction teacher: PredNet (Lotter et al. 2017), its top representation widened to 256 (Sec. 5.2)."""

    targets: tuple[Count, ...] = Field((3, 48, 96, 192), min_length=2, description="channels of A, by layer")
    representations: tuple[Count, ...] = Field((3, 48, 96, 256), min_length=2, description="channels of R, by layer")
    gates: Literal["hard_sigmoid", "sigmoid"] = Field("hard_sigmoid", description="hard_sigmoid: coxlab; sigmoid: leido's port")
    side: Count | None = Field(104, description="frames are resized to this; null: as they are. 104 gives maps of 13x13")
    features: Literal["top", "all"] = Field("top", description="what the classifier sees: R of the top layer, or of all layers")
    dropout: Dropout = 0.5

    @model_validator(mode="after")
    def _as_many_layers(self) -> Self:
        if len(self.targets) != len(self.representations) or self.targets[0] != 3:
            raise ValueError(
                f"targets = {list(self.targets)} and representations = {list(self.representations)}: as many of each, and "
                "the first targets are the 3 channels of a frame"
            )
        return self


class SortingSettings(SelfSupervisedSettings):
    """Frame sorting (Lee et al. 2017, OPN): which of the n!/2 orders shuffled frames are in."""

    batch_size: int = Field(64, ge=2)
    epochs: Count = 140
    learning_rate: Positive = 0.01
    step_epochs: Count = 107
    clips_per_video: Count = 8
    frames: Literal[3, 4, 5] = Field(4, description="n")
    spacing: Count = Field(4, description="frames between two that are sorted, at least")
    crop_jitter: int = Field(5, ge=0, description="pixels by which every frame is shifted on its own")
    channel_splitting: Literal["per_frame", "per_sample", "off"] = Field(
        "per_frame",
        description="shown three times, a channel drawn for each frame (OPN), or one for all frames of a sample; off: colours",
    )
    reversal: Literal["time", "shown"] = Field(
        "time",
        description="of two orders that are one class. time: one is the other played backwards, as actions are symmetric (the "
        "papers); shown: one is the other read from its end (released code), so that some classes differ by time's arrow only",
    )
    tuples: Literal["anywhere", "motion", "patches"] = Field(
        "anywhere",
        description="frames of a sample. motion: of a track of the group `tracking`, which starts where something moves; "
        "patches: the window of the track as well (OPN)",
    )
    pair: Literal["joined", "difference"] = Field(
        "joined", description="what the layer sees of a pair. joined: both features; difference: |a - b| and (a - b)^2"
    )
    pair_units: Count = Field(512, description="units of the layer that sees a pair of frames")
    layers: int | None = Field(None, ge=1, le=5, description="leading layers of the encoder that the task trains; null: all")
    dropout: Dropout = 0.5

    @field_validator("channel_splitting", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        """`off` is false to YAML; and true and false are what records of before the names hold."""
        return {True: "per_frame", False: "off"}[value] if isinstance(value, bool) else value


class EgoMotionSettings(SelfSupervisedSettings):
    """Learning from ego-motion (Agrawal et al. 2015): two frames through a shared base (BCNN) and a top network (TCNN)."""

    batch_size: int = Field(128, ge=2)
    epochs: Count = 100
    learning_rate: Positive = 0.001
    step_epochs: Count = 8
    decay: float = Field(0.5, gt=0, le=1)
    clips_per_video: Count = 8
    objective: Literal["closeness", "contrastive", "transform"] = Field(
        "closeness",
        description="closeness: whether two frames are temporally close, from the TCNN (this paper); contrastive: the same "
        "from their distance (Agrawal's slowness baseline); transform: which shift and zoom of a synthetic camera lies between",
    )
    close_frames: Count = Field(7, description="frames at most between two that are close; others are further apart")
    bins: int = Field(20, ge=2, description="classes of each part of a transform")
    largest_shift: float = Field(0.15, gt=0, le=0.5, description="of the synthetic camera, in units of the crop's side")
    largest_zoom: float = Field(0.15, gt=0, lt=0.5, description="of the synthetic camera: 1 - zoom to 1 + zoom")
    margin: Positive = Field(1.0, description="of the contrastive loss")
    top_channels: tuple[Count, Count] = Field((256, 128), description="of the TCNN's two convolutions")
    top_units: Count = 500
    dropout: Dropout = 0.5


class TrackingSettings(SelfSupervisedSettings):
    """Tracking (Wang & Gupta 2015): the two ends of a tracked patch are more alike than patches of other videos."""

    batch_size: int = Field(50, ge=2, description="tracks; every other one of the batch is a negative")
    epochs: Count = 260
    learning_rate: Positive = 0.001
    step_epochs: Count = 65
    clips_per_video: Count = 4
    frames: int = Field(30, ge=2, description="from a track's first frame to its last")
    patch: float = Field(0.6, gt=0, le=1, description="side of a patch, in units of the frame's shorter side")
    tracks_per_video: Count = 4
    least_motion: Positive = Field(
        0.002, description="mean flow of a patch beyond the camera's, in frame sides per frame, below which nothing moves"
    )
    units: Count = Field(1024, description="of the feature that is compared")
    margin: Positive = Field(0.5, description="0.5: paper; 1: released prototxt")
    negatives: Count = Field(4, description="negatives of a track")
    hard_from: Fraction = Field(0.4, description="share of the epochs after which negatives are the hardest, not random ones")


class PredictionSettings(SelfSupervisedSettings):
    """Frame prediction (PredNet, Lotter et al. 2017): the mean of its error units on a clip."""

    batch_size: int = Field(4, ge=2)
    epochs: Count = 150
    optimiser: Literal["sgd", "adam"] = "adam"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    step_epochs: Count = 75
    stride: Count = Field(1, description="frames of a video between two of a clip that is predicted; 1: all of them")
    upper_layers: NonNegative = Field(0.0, description="weight of the errors above the pixels: 0: L_0; 0.1: L_all")


class TeachersSettings(Settings):
    """Which teachers there are, and whether their outputs are computed once or at every step."""

    tasks: str = Field("+".join(TEACHER_TASKS), description=f"of {', '.join(TEACHER_TASKS)}, {ELSEWHERE}; joined by +")
    outputs: Literal["bank", "live"] = Field(
        "bank", description="bank: of a fixed set of views, computed once; live: of new views in every epoch"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks, in the order of TEACHER_TASKS; those from outside the package after them, in that of their names."""
        named = self.tasks.split("+")
        own = tuple(task for task in TEACHER_TASKS if task in named)
        return (*own, *sorted(set(named) - set(own)))

    @field_validator("tasks")
    @classmethod
    def _names_as_kept(cls, tasks: str) -> str:
        return names_as_kept(tasks)

    @model_validator(mode="after")
    def _tasks_exist_and_differ(self) -> Self:
        named = self.tasks.split("+")
        if unknown := [task for task in named if task not in TEACHER_TASKS and not is_import_path(task)]:
            near = did_you_mean(unknown[0], TEACHER_TASKS)
            valid = f"{', '.join(TEACHER_TASKS)}, {ELSEWHERE}, joined by +"
            raise ValueError(f"tasks = {self.tasks}: '{unknown[0]}' is none of {valid}{near}")
        if len(set(named)) < len(named):
            raise ValueError(f"tasks = {self.tasks}: two teachers are the same; each of {', '.join(TEACHER_TASKS)} once")
        return self


class TeacherFinetuneSettings(Optimisation):
    """Supervised finetuning of each teacher on the downstream data set, and what of its encoder it starts from (Sec. 5.2)."""

    epochs: Count = 60
    batch_size: int = Field(64, ge=2)
    learning_rate: Positive = 1e-3
    step_epochs: Count = 40
    transferred_layers: int | None = Field(
        None,
        ge=0,
        le=5,
        description="leading layers that start from the self-supervised encoder, others fresh; null: all; 0: from scratch",
    )
    transferred_from: Literal["task", "classifier", "imported"] = Field(
        "task",
        description="where transferred layers are from. task: the self-supervised encoder; classifier: the same network, "
        "trained from scratch on the same labels, which tells what splitting it costs (selffer, Yosinski et al. 2014); "
        "imported: the network of a file (--weights)",
    )
    freeze: bool = Field(False, description="whether the transferred layers keep their weights")

    def unread(self) -> tuple[str, ...]:
        """Where layers are from is said by the stage's input."""
        return (*super().unread(), "transferred_from")

    @property
    def from_scratch(self) -> bool:
        """Whether nothing of the self-supervised encoder is used, so that none is trained."""
        return self.transferred_layers == 0
