"""The student, AlexNet: from labels alone, or from labels and teachers by the graphs (Secs. 4 and 5.2). Leaves the network.

Teachers are asked about the clips that the student sees: of the view bank, answered before (`teachers.outputs: bank`), or live
about new ones in every epoch. Without teachers the clips are new in every epoch, or those of the view bank (`student.views`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.distillation.student import TaughtStudent
from trainables.distillation.teachers import Answers, Teachers
from trainables.models import Encoder, make_encoder, network_reads
from trainables.models.alexnet import AlexNet, imagenet_weights
from trainables.settings import ExperimentSettings, GraphSettings
from trainables.settings.graph import TRANSPORT
from trainables.stages.kind import ARITHMETIC, CLIPS, LABELLED, Kind, StartError, supervised_cost, trained_by
from trainables.stages.supervised import classifier_training
from trainables.stages.transfer import Transfer
from trainables.stages.view_bank import BANK, kept_layer
from trainables.stages.work import Training, Work
from trainables.tasks import SelfSupervisedTask
from trainables.video.dataset import Batch
from trainables.video.videos import DataError, VideoSet

VIEWS = "student.views"
"""What a student without teachers sees."""

Ask = Callable[[Tensor, Batch], Answers]
"""What the teachers say of the clips of a batch, given in the student's form, too."""


def run(tasks: Sequence[type[SelfSupervisedTask]], live: bool, work: Work) -> Training:
    """tasks: of the teachers, in the order of the inputs. live: whether these are the teachers themselves, or their bank."""
    settings = work.settings
    student = _new_student(work)

    if not tasks:
        return _from_labels(work, student, student)

    ask, teachers = (_live if live else _banked)(work, tasks)
    with work.seeded("student/graphs"):
        network = TaughtStudent(student, settings.graph, teachers)
    work.on_device(network)

    def step(clips: Tensor, batch: Batch, measured: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        return network.loss(clips.flatten(0, 1), batch["target"], ask(clips, batch), measured)

    return classifier_training(
        work,
        network,
        settings.student,
        settings.video,
        settings.student.keep,
        step=step,
        first_step=functools.partial(step, measured=True),
        stream=None if live else BANK,
        views=None if live else settings.views.views,
        classifier=student,
        parts=1 if settings.graph.compares_samples else settings.compute.accumulation,
    )


def run_selffer(work: Work) -> Training:
    """A student of which the leading layers start from another one of the same labels, and the others fresh."""
    with work.seeded(f"{work.kind}/network"):
        student = AlexNet(work.settings, len(work.videos.classes))
    asked = work.settings.student
    return _from_labels(work, Transfer(student, work.pretrained("student"), asked.transferred_layers, asked.freeze), student)


def _from_labels(work: Work, network: nn.Module, student: AlexNet) -> Training:
    settings, banked = work.settings, work.settings.student.views == "bank"
    work.on_device(network)
    return classifier_training(
        work,
        network,
        settings.student,
        settings.video,
        settings.student.keep,
        stream=BANK if banked else None,
        views=settings.views.views if banked else None,
        classifier=student,
        parts=settings.compute.accumulation,
    )


def _new_student(work: Work) -> AlexNet:
    with work.seeded("student"):
        student = AlexNet(work.settings, len(work.videos.classes))
    if work.settings.student.initialisation == "imagenet":
        student.load_state_dict(_given_weights(student, work.weights_files))
    return student


def _given_weights(student: AlexNet, files: Mapping[str, Path]) -> dict[str, Tensor]:
    if "alexnet" not in files:
        raise StartError("student.initialisation = imagenet: give the weights of AlexNet with --weights alexnet=FILE")
    try:
        return imagenet_weights(student, files["alexnet"])
    except ValueError as error:
        raise StartError(str(error)) from None


def check_start(settings: ExperimentSettings, files: Mapping[str, Path], videos: VideoSet) -> None:
    """Raises StartError where a student is to start from weights that are not given, not readable, or of another network."""
    if settings.student.initialisation == "imagenet":
        with torch.device("meta"):
            student = AlexNet(settings, classes=1)
        _given_weights(student, files)


def _banked(work: Work, tasks: Sequence[type[SelfSupervisedTask]]) -> tuple[Ask, Teachers]:
    banks = [work.inputs[task.name].tensors("train") for task in tasks]
    for task, bank in zip(tasks, banks, strict=True):
        check_classes(task.name, bank["logits"].shape[-1], len(work.videos.classes))

    names = _asked_of_banks(work.settings.graph)
    at_hand = _at_hand([{name: bank[name] for name in names} for bank in banks], work.device)

    def ask(clips: Tensor, batch: Batch) -> Answers:
        said = {name: [_told(bank[name], batch).to(work.device).float() for bank in at_hand] for name in names}
        return Answers(torch.stack(said["logits"]), said.get("maps", []), said.get("features", []))

    channels, prototypes = [bank["maps"].shape[2] for bank in banks], [bank["prototypes"] for bank in banks]
    return ask, Teachers([task.name for task in tasks], channels, prototypes)


def _asked_of_banks(graph: GraphSettings) -> list[str]:
    names = {"logits": True, "maps": graph.representation != "none", "features": _asks_for_features(graph)}
    return [name for name, asked in names.items() if asked]


def _at_hand(banks: Sequence[dict[str, Tensor]], device: torch.device) -> Sequence[dict[str, Tensor]]:
    """Banks on the device, where they leave it half of its free memory at least; else as they are, on the host."""
    size = sum(values.nbytes for bank in banks for values in bank.values())
    if device.type == "cuda" and 2 * size > torch.cuda.mem_get_info(device)[0]:
        return banks
    return [{name: values.to(device) for name, values in bank.items()} for bank in banks]


def _told(values: Tensor, batch: Batch) -> Tensor:
    """What a bank's values (views, videos, ...) hold of a batch's clips."""
    return values[batch["epoch"].to(values.device), batch["index"].to(values.device)]


def _live(work: Work, tasks: Sequence[type[SelfSupervisedTask]]) -> tuple[Ask, Teachers]:
    settings = work.settings
    teachers: list[tuple[Encoder, int]] = []
    for task in tasks:
        weights = work.inputs[task.name].tensors()
        teacher = make_encoder(task.encoder, settings, len(work.videos.classes))
        *_, last = teacher.classifier.state_dict()
        check_classes(task.name, len(weights[f"classifier.{last}"]), len(work.videos.classes))
        teacher.load_state_dict(weights)
        teacher = work.for_evaluation(teacher).requires_grad_(False)
        layer = kept_layer(task, settings) if settings.graph.representation != "none" else 1
        teachers.append((teacher, layer))

    @torch.no_grad()
    def ask(clips: Tensor, batch: Batch) -> Answers:
        forms, said = {settings.video.pixels: clips}, []
        for teacher, layer in teachers:
            seen = teacher.seen(settings.video)
            if seen.pixels not in forms:
                forms[seen.pixels] = work.clips(batch, seen)
            said.append(teacher.outputs(forms[seen.pixels].flatten(0, 1), layer))
        logits, maps, features = ([values.float() for values in found] for found in zip(*said, strict=True))
        return Answers(torch.stack(logits), maps, features)

    frames = torch.zeros(1, 3, settings.video.clip_frames, settings.video.crop, settings.video.crop, device=work.device)
    with torch.no_grad():
        channels = [teacher.outputs(frames, layer).map.shape[1] for teacher, layer in teachers]
    return ask, Teachers([task.name for task in tasks], channels, [teacher.prototypes for teacher, _ in teachers])


def _asks_for_features(graph: GraphSettings) -> bool:
    return graph.logits == "graph" and graph.edges == "learned"


def check_classes(task: str, teacher: int, student: int) -> None:
    """Raises DataError when a teacher tells other classes apart than the student."""
    if teacher != student:
        raise DataError(
            f"the {task} teacher has {teacher} classes and the student {student}: they must be finetuned on the same data set"
        )


_TOTAL = {"weighted": ("graph.imitation_weight",), "sum": ()}
_SOFTENED = ("graph.student_temperature",)
_DISTANCES = {
    "em": (*_SOFTENED, "graph.sample_cost"),
    "sinkhorn": (*_SOFTENED, "graph.sample_cost", "graph.sinkhorn_regularisation"),
    "class_em": (*_SOFTENED, "graph.ground"),
    "kl": _SOFTENED,
    "cosine": (),
    "l2": _SOFTENED,
}
_EDGES = {
    "uniform": (),
    "learned": ("graph.edge_temperature", "graph.prior_weight", "graph.edge_units"),
    "learned_global": ("graph.edge_temperature", "graph.prior_weight"),
    "gain": ("graph.edge_temperature", "graph.gain_sign", "graph.gain_of"),
}
_MAPS = (
    "graph.representation_weight",
    "graph.student_layer",
    "graph.student_map",
    "graph.vertex_norm",
    "graph.vertex_temperature",
    "graph.bandwidth",
)
_REPRESENTATION = {
    "none": (),
    "single": _MAPS,
    "graph": (*_MAPS, "graph.sketch", "graph.representation_edges", "graph.representation_edge_temperature"),
}


def _graph_reads(settings: ExperimentSettings, tasks: Sequence[type[SelfSupervisedTask]], live: bool) -> tuple[str, ...]:
    """Of the group `graph`, those of parts that are off left out.

    With live teachers also which of their layers are imitated; a bank has its own layers' maps.
    """
    graph = settings.graph
    layers = sorted({f"views.{task.encoder}_layer" for task in tasks}) if live and graph.representation != "none" else ()
    of_logits = _logits_reads(graph, tasks) if graph.logits != "none" else ()
    share = ("graph.representation_share",) if graph.is_balanced else ()
    return ("graph.logits", "graph.representation", *of_logits, *_REPRESENTATION[graph.representation], *share, *layers)


def _logits_reads(graph: GraphSettings, tasks: Sequence[type[SelfSupervisedTask]]) -> tuple[str, ...]:
    total = ("graph.total", *_TOTAL[graph.total])
    temperatures = tuple(f"graph.{task.name}_temperature" for task in tasks)
    if graph.logits == "average":
        softening = ("graph.kd_temperature",) if graph.kd == "hinton" else ("graph.student_temperature", *temperatures)
        return (*total, "graph.kd", *softening)
    return (
        *total,
        "graph.distance",
        "graph.edges",
        "graph.vertices",
        "graph.targets",
        *temperatures,
        *_DISTANCES[graph.distance],
        *_EDGES[graph.edges],
        *(("graph.sample_cost_of",) if graph.distance in TRANSPORT and graph.sample_cost > 0 else ()),
        *(("graph.gain_momentum",) if graph.edges == "gain" and graph.gain_of == "running_means" else ()),
        *(("graph.mixing",) if graph.targets == "mixed" else ()),
    )


def _views_of_labels(settings: ExperimentSettings) -> tuple[str, ...]:
    return (VIEWS, "views.views") if settings.student.views == "bank" else (VIEWS,)


@functools.cache
def kind_of(tasks: tuple[type[SelfSupervisedTask], ...] = (), live: bool = False) -> Kind:
    """The student of these teachers, or of their bank; without any it learns from labels alone."""

    def reads(settings: ExperimentSettings) -> tuple[str, ...]:
        schedule = (name for name in trained_by(settings, "student") if name != VIEWS)
        return (
            *schedule,
            *network_reads("alexnet", settings, of_clips=True),
            *CLIPS,
            *(ARITHMETIC if tasks and settings.graph.compares_samples else ("compute",)),
            "augmentation",
            *(_graph_reads(settings, tasks, live) if tasks else _views_of_labels(settings)),
        )

    return Kind(
        "student",
        3,
        functools.partial(run, tasks, live),
        reads,
        LABELLED,
        supervised_cost("alexnet", "student"),
        schedule="student",
        starts_from=lambda settings: "alexnet" if settings.student.initialisation == "imagenet" else None,
        check=check_start,
        where=__name__,
    )


def _selffer_reads(settings: ExperimentSettings) -> tuple[str, ...]:
    initialisation = "student.initialisation"
    alone = (name for name in kind_of().reads(settings) if name != initialisation)
    return (*alone, "student.transferred_layers", "student.freeze")


KIND_OF_SELFFER = Kind(
    "student_selffer",
    3,
    run_selffer,
    _selffer_reads,
    LABELLED,
    supervised_cost("alexnet", "student"),
    schedule="student",
    where=__name__,
)
"""The control of `student.transferred_layers`."""
