"""Graph distillation, the student: its network and training, the views that teachers are asked about, and the graphs.

Defaults are the paper's text (Secs. 3 to 5); what it leaves to the works it cites is theirs, and what neither says is marked
in docs/fidelity.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from trainables.settings.base import Count, Fraction, NonNegative, Optimisation, Positive, Settings
from trainables.settings.registry import TEACHER_TASKS
from trainables.settings.teachers import Dropout

Bandwidth = Literal["median"] | Positive
VertexNorm = Literal["map", "location"]
VertexTemperature = Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]
"""One for all vertices of G_r, or one for each: pairs in the order of `TeachersSettings.names`, teachers in that order."""
OTHER_TEMPERATURE = 2.0
"""Of teachers from outside the package."""
TRANSPORT = ("em", "sinkhorn")
"""Distances that join the predictions of different samples."""


class AlexNetSettings(Settings):
    """The student: AlexNet with torchvision's layer shapes."""

    channels: tuple[Count, Count, Count, Count, Count] = (64, 192, 384, 256, 256)
    conv1_filter: Count = 11
    conv1_stride: Count = 4
    hidden: Count = 4096
    dropout: Dropout = 0.5
    batch_norm: bool = Field(False, description="after every convolution; torchvision's has none, small networks need it")


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
