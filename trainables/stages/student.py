"""The student, AlexNet: from labels alone, or from labels and teachers by the graphs (Secs. 4 and 5.2). Leaves the network.

Teachers are asked about the clips that the student sees: of the view bank, answered before (`teachers.outputs: bank`), or live
about new ones in every epoch. Without teachers the clips are new in every epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainables.distillation.student import TaughtStudent
from trainables.models.alexnet import AlexNet, load_imagenet
from trainables.models.backbone import place
from trainables.models.encoder import Encoder
from trainables.stages.supervised import clips_of, train_classifier
from trainables.stages.teacher_classifier import new_classifier
from trainables.stages.views import BANK, kept_layer
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.video.dataset import Batch
from trainables.video.layouts import DataError

Answers = Callable[[Batch], tuple[Tensor, list[Tensor]]]
"""Teachers' logits (teachers, B, classes) and maps (B, C, h, w) of each, for the clips of a batch."""


def run(work: Work) -> Artifact:
    settings = work.settings
    student = _new_student(work)

    if not work.inputs:
        place(student, work.device, settings.compute)
        return train_classifier(work, student, settings.student, settings.video, settings.student.keep)

    tasks = tuple(work.inputs)
    live = settings.teachers.outputs == "live"
    answers, channels = (_live if live else _banked)(work, tasks)
    with work.seeded("student/graphs"):
        network = TaughtStudent(student, settings.graph, tasks, channels)
    place(network, work.device, settings.compute)

    def step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits, maps = answers(batch)
        return network.loss(clips_of(work, batch, settings.video), batch["target"].to(work.device), logits, maps)

    return train_classifier(
        work,
        network,
        settings.student,
        settings.video,
        settings.student.keep,
        step=step,
        stream=None if live else BANK,
        views=None if live else settings.views.views,
        classifier=student,
    )


def _new_student(work: Work) -> AlexNet:
    with work.seeded("student"):
        student = AlexNet(work.settings, len(work.videos.classes))
    if work.settings.student.initialisation == "imagenet":
        if "alexnet" not in work.weights:
            raise DataError("student.initialisation = imagenet: give the weights of AlexNet with --weights alexnet=FILE")
        try:
            load_imagenet(student, work.weights["alexnet"])
        except ValueError as error:
            raise DataError(str(error)) from None
    return student


def _banked(work: Work, tasks: Sequence[str]) -> tuple[Answers, list[int]]:
    banks = [work.inputs[task].tensors("train") for task in tasks]
    for task, bank in zip(tasks, banks, strict=True):
        check_classes(task, bank["logits"].shape[-1], len(work.videos.classes))

    def answers(batch: Batch) -> tuple[Tensor, list[Tensor]]:
        view, video = batch["epoch"], batch["index"]
        logits = torch.stack([bank["logits"][view, video] for bank in banks]).to(work.device, non_blocking=True)
        if work.settings.graph.representation == "none":
            return logits, []
        return logits, [bank["maps"][view, video].to(work.device, non_blocking=True).float() for bank in banks]

    return answers, [bank["maps"].shape[2] for bank in banks]


def _live(work: Work, tasks: Sequence[str]) -> tuple[Answers, list[int]]:
    settings = work.settings
    teachers: list[tuple[Encoder, int]] = []
    for task in tasks:
        weights = work.inputs[task].tensors()
        teacher = new_classifier(task, settings, len(work.videos.classes))
        *_, last = teacher.classifier.state_dict()
        check_classes(task, len(weights[f"classifier.{last}"]), len(work.videos.classes))
        teacher.load_state_dict(weights)
        place(teacher, work.device, settings.compute)
        teachers.append((teacher.eval().requires_grad_(False), kept_layer(task, settings)))

    @torch.no_grad()
    def answers(batch: Batch) -> tuple[Tensor, list[Tensor]]:
        found = []
        for teacher, layer in teachers:
            found.append(teacher.outputs(clips_of(work, batch, teacher.seen(settings.video)), layer))
        return torch.stack([outputs.logits.float() for outputs in found]), [outputs.map.float() for outputs in found]

    frames = torch.zeros(1, 3, settings.video.clip_frames, settings.video.crop, settings.video.crop, device=work.device)
    with torch.no_grad():
        channels = [teacher.outputs(frames, layer).map.shape[1] for teacher, layer in teachers]
    return answers, channels


def check_classes(task: str, teacher: int, student: int) -> None:
    """Raises DataError when a teacher tells other classes apart than the student."""
    if teacher != student:
        raise DataError(
            f"the {task} teacher has {teacher} classes and the student {student}: they must be finetuned on the same data set"
        )
