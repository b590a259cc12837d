"""Graph distillation: networks, the four teachers' tasks, their finetuning, the views they are asked about, student and graphs.

Defaults are the paper's text (Secs. 3 to 5); what it leaves to the works it cites is theirs, and what neither says is marked
in docs/fidelity.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from trainables.settings.base import Count, Fraction, NonNegative, Optimisation, Positive, SelfSupervisedSettings, Settings
from trainables.settings.registry import ELSEWHERE, TEACHER_TASKS, is_import_path, names_as_kept
from trainables.suggestions import did_you_mean

Dropout = Annotated[float, Field(ge=0, lt=1)]
Channels = Count | Annotated[tuple[Count, ...], Field(min_length=1)]
LaterLayer = Annotated[int, Field(ge=2, le=5)]
Bandwidth = Literal["median"] | Positive
VertexNorm = Literal["map", "location"]
VertexTemperature = Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]
"""One for all vertices of G_r, or one for each: pairs in the order of `TeachersSettings.names`, teachers in that order."""
OTHER_TEMPERATURE = 2.0
"""Of teachers from outside the package."""
TRANSPORT = ("em", "sinkhorn")
"""Distances that join the predictions of different samples."""


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


class AlexNetSettings(Settings):
    """The student: AlexNet with torchvision's layer shapes."""

    channels: tuple[Count, Count, Count, Count, Count] = (64, 192, 384, 256, 256)
    conv1_filter: Count = 11
    conv1_stride: Count = 4
    hidden: Count = 4096
    dropout: Dropout = 0.5
    batch_norm: bool = Field(False, description="after every convolution; torchvision's has none, small networks need it")


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
    transferred_from: Literal["task", "classifier"] = Field(
        "task",
        description="where transferred layers are from. task: the self-supervised encoder; classifier: the same network, "
        "trained from scratch on the same labels, which tells what splitting it costs (selffer, Yosinski et al. 2014)",
    )
    freeze: bool = Field(False, description="whether the transferred layers keep their weights")

    def unread(self) -> tuple[str, ...]:
        """Where layers are from is said by the stage's input."""
        return (*super().unread(), "transferred_from")

    @property
    def from_scratch(self) -> bool:
        """Whether nothing of the self-supervised encoder is used, so that none is trained."""
        return self.transferred_layers == 0


class ViewsSettings(Settings):
    """The views of training videos that teachers are asked about, and what is kept of their answers."""

    views: Count = Field(4, description="V of every video; an epoch of the student sees one of each")
    side: Count | None = Field(
        None,
        description="to which larger maps are averaged before they are kept; 13 is AlexNet's conv4 at 224 pixels; null: none",
    )
    vgg_layer: int = Field(3, ge=1, le=5, description="layer whose map is kept: 3 is conv3_4, with 256 channels")
    prednet_layer: Count = Field(4, description="layer of PredNet whose representation is kept")
    stored: Literal["float32", "float16"] = Field("float32", description="how maps are stored")


class StudentSettings(Optimisation):
    """Training of the student, with teachers or from labels alone (Sec. 5.2)."""

    epochs: Count = 350
    batch_size: int = Field(128, ge=2)
    optimiser: Literal["sgd", "adam"] = "adam"
    learning_rate: Positive = Field(
        0.01, description="0.01: the paper's, at which Adam kills AlexNet in its first steps; 1e-4 trains it (docs/fidelity.md)"
    )
    weight_decay: NonNegative = 0.0
    step_epochs: Count = 50
    decay: float = Field(0.5, gt=0, le=1)
    initialisation: Literal["random", "imagenet"] = Field(
        "random", description="imagenet: the weights file given by --weights alexnet=FILE, but for a last layer of other size"
    )
    keep: Literal["last", "best"] = Field("last", description="the epoch whose weights are kept; best: by validation top-1")
    transferred_layers: int | None = Field(
        None,
        ge=0,
        le=5,
        description="of recipe student: leading layers that start from another student of the same labels, the others fresh "
        "(selffer, Yosinski et al. 2014); null: there is no other",
    )
    freeze: bool = Field(False, description="whether the transferred layers keep their weights")

    def unread(self) -> tuple[str, ...]:
        """What is transferred only the student reads to which it is."""
        return (*super().unread(), "transferred_layers", "freeze")

    views: Literal["fresh", "bank"] = Field(
        "fresh",
        description="of a student from labels alone. fresh: new clips in every epoch; bank: those that distilled students see, "
        "`views.views` of every video",
    )

    off: ClassVar[Mapping[str, Any]] = {**Optimisation.off, "views": "fresh"}


class GraphSettings(Settings):
    """The student's loss: (1 - lambda) CE + lambda L_logits + weight L_representation (Eqs. 2 to 10)."""

    logits: Literal["none", "average", "graph"] = Field(
        "graph", description="average: KL to the mean of the teachers' softened predictions (KD, uniform); graph: G_l"
    )
    representation: Literal["none", "single", "graph"] = Field(
        "graph", description="single: MMD to each teacher's own maps, equal weights; graph: G_r, of pairs of teachers"
    )
    total: Literal["weighted", "sum"] = Field(
        "weighted",
        description="of labels and logits. weighted: (1 - lambda) CE + lambda L_logits (Eq. 2); sum: CE + L_logits, "
        '"the sum of Eq. (3) and Eq. (4)" (Sec. 4.2)',
    )
    imitation_weight: Fraction = Field(0.6, description="lambda of Eq. 2; no effect without a logits loss or with a sum")
    representation_weight: Literal["balanced"] | NonNegative = Field(
        "balanced",
        description="of the loss of G_r. balanced: what gives it, at the first batch, representation_share; 1: the plain sum",
    )
    representation_share: Positive = Field(
        0.5, description="of G_r's gradient at the imitated layer over the cross entropy's, at the first batch, if balanced"
    )
    distance: Literal["em", "sinkhorn", "class_em", "kl", "cosine", "l2"] = Field(
        "em",
        description="of G_l. Between the predictions of a batch: em, exact transport (Eq. 5), sinkhorn, its entropic form on "
        "the device. Sample by sample: class_em, transport between classes, kl, cosine (1 - cosine of logits, MMGD), l2",
    )
    sample_cost: NonNegative = Field(
        0.2,
        description="alpha of em and sinkhorn: moving a prediction to that of another sample costs alpha more. 0: transport "
        "that cannot see which sample a teacher spoke about; 1.4143 (sqrt 2) and more: every sample stays with itself, which "
        "is l2",
    )
    sample_cost_of: Literal["clip", "label"] = Field(
        "clip", description="whom alpha tells apart: any two samples of a batch, or samples with different labels"
    )
    ground: Literal["zero_one", "prototypes"] = Field(
        "zero_one",
        description="metric of class_em. zero_one: 1 between any two classes (total variation); prototypes: distances between "
        "the rows of each teacher's last layer, the largest 1",
    )
    sorting_temperature: Positive = Field(2.0, description="T_k of Eq. 6")
    ego_motion_temperature: Positive = 2.0
    tracking_temperature: Positive = 2.0
    prediction_temperature: Positive = 2.0
    student_temperature: Positive = Field(1.0, description="1: Eq. 6; Hinton et al. soften the student as well")
    sinkhorn_regularisation: Positive = Field(0.0005, description="in units of the largest cost")
    kd: Literal["hinton", "one_sided"] = Field(
        "hinton",
        description="softening in KD. hinton: teachers and student by kd_temperature, times T^2; one_sided: teachers by T_k, "
        "the student by student_temperature, no factor",
    )
    kd_temperature: Positive = Field(2.0, description="T of KD as Hinton's")
    edges: Literal["uniform", "learned", "learned_global", "gain"] = Field(
        "gain",
        description="e_{n->m} of G_l. gain: softmax over n of what gain_sign says of the student's distances; "
        "learned: of each sample, by a small network on logits and features, into the student, with a prior (MMGD); "
        "learned_global: softmax of one learned logit per edge, with a prior; uniform",
    )
    gain_sign: Literal["imitated_well", "imitated_badly"] = Field(
        "imitated_well", description="which teachers weigh more: softmax of (l_m - l_n) / T, or of (l_n - l_m) / T"
    )
    gain_of: Literal["running_means", "sample"] = Field(
        "running_means", description="whose distances l are: running means over batches, or each sample's own"
    )
    targets: Literal["own", "mixed"] = Field(
        "own",
        description="what the student imitates at a vertex. own: what flows in are distances from each teacher; mixed: what "
        "flows in are predictions, which adjust the vertex's own",
    )
    mixing: Fraction = Field(0.5, description="share of what flows in, of mixed targets; 0: every teacher as it is")
    vertices: Literal["sum", "mean"] = Field(
        "sum", description="over vertices of G_l. sum: Eq. 4, which weighs more with more teachers; mean: of one scale for all"
    )
    edge_temperature: Positive | None = Field(
        None, description="T of the softmax over edges of G_l; null: 8 for learned ones (MMGD), 0.1 for others"
    )
    edge_units: Count = Field(32, description="of logits and of features, which learned edges are made of (MMGD: 32)")
    gain_momentum: float = Field(0.9, ge=0, lt=1, description="of the running means of the student's losses")
    prior_weight: NonNegative = Field(10.0, description="of (e - uniform)^2 with learned and learned_global edges (MMGD: 10)")
    student_layer: int = Field(4, ge=1, le=5, description="convolution of AlexNet whose map imitates; 4 has 256 channels")
    sketch: Count = Field(512, description="e, channels of the count sketch; the paper only asks for a small one")
    vertex_norm: VertexNorm = Field(
        "map",
        description="L2 norm of V_k (Eq. 7). map: one per vertex, in units of its root mean square, so that entries are about "
        "1 at every size; location: one per location, of length 1, which leaves nothing of where teachers look",
    )
    student_map: Literal["raw", "normalised"] = Field(
        "raw", description="before its softmax. raw: Eq. 9; normalised: over its root mean square, as a vertex of norm `map`"
    )
    vertex_temperature: VertexTemperature = Field(
        0.5, description="T_k of Eq. 8, in units of vertex_norm; one, or one per vertex (pairs of teachers in order)"
    )
    bandwidth: Bandwidth = Field("median", description="sigma of the Gaussian kernel; median: of the distances at hand")
    representation_edges: Literal["uniform", "vertex", "dimension"] = Field(
        "vertex", description="of G_r: one learned logit per vertex (Eq. 10); one per vertex and channel of the sketch"
    )
    representation_edge_temperature: VertexTemperature = Field(1.0, description="T of Eq. 10; one, or one per vertex")

    @property
    def compares_samples(self) -> bool:
        """Whether the loss of a batch is more than the mean of what its parts would give, but for a bandwidth."""
        if self.logits != "graph":
            return False
        from_means = self.gain_of == "running_means" if self.edges == "gain" else self.edges == "learned"
        return self.distance in TRANSPORT or from_means

    @property
    def temperature_of_edges(self) -> float:
        """T of the softmax over edges of G_l."""
        if self.edge_temperature is not None:
            return self.edge_temperature
        return 8.0 if self.edges == "learned" else 0.1

    def vertex_names(self, teachers: Sequence[str]) -> list[str]:
        """Vertices of the representation graph, in order: pairs of teachers, or (`single`) teachers; none where it is off."""
        pairs = ["+".join(pair) for pair in itertools.combinations(teachers, 2)]
        return {"none": [], "single": list(teachers), "graph": pairs}[self.representation]

    @property
    def is_balanced(self) -> bool:
        """Whether the weight of a representation loss is measured."""
        return self.representation != "none" and self.representation_weight == "balanced"

    def temperature(self, task: str) -> float:
        """T_k of a teacher, by its task; of one from outside the package the default of the four."""
        return float(getattr(self, f"{task}_temperature")) if task in TEACHER_TASKS else OTHER_TEMPERATURE
