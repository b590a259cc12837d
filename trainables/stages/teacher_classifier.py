"""A teacher finetuned for classification on the downstream data set. Leaves the whole network.

It starts from the leading layers of the self-supervised encoder (all of them by default), or of a classifier of the same
network that was trained from scratch; they may be kept frozen: the transferability study of Sec. 5.2 (transfer.py). One from
scratch has nothing before it.
"""

from __future__ import annotations

import functools

from torch import nn

from trainables.models import make_encoder, network_reads
from trainables.settings import ExperimentSettings
from trainables.stages.kind import CLIPS, LABELLED, Kind, supervised_cost, trained_by
from trainables.stages.supervised import classifier_training
from trainables.stages.transfer import Transfer
from trainables.stages.work import Training, Work
from trainables.tasks import SelfSupervisedTask

OF_TRANSFER = ("teacher_finetune.transferred_layers", "teacher_finetune.freeze")


def run(task: type[SelfSupervisedTask], work: Work) -> Training:
    with work.seeded(f"{work.kind}/network"):
        teacher = make_encoder(task.encoder, work.settings, len(work.videos.classes))
    finetuning = work.settings.teacher_finetune
    network: nn.Module = teacher
    if task.name in work.inputs:
        network = Transfer(teacher, work.pretrained(task.name), finetuning.transferred_layers, finetuning.freeze)
    work.on_device(network)
    video, parts = teacher.seen(work.settings.video), work.settings.compute.accumulation
    return classifier_training(work, network, finetuning, video, "last", classifier=teacher, parts=parts)


@functools.cache
def kind_of(task: type[SelfSupervisedTask]) -> Kind:
    def reads(settings: ExperimentSettings) -> tuple[str, ...]:
        schedule = trained_by(settings, "teacher_finetune")
        return (*schedule, *network_reads(task.encoder, settings, of_clips=True), *CLIPS, "compute", "augmentation")

    return Kind(
        f"{task.name}_classifier",
        1,
        functools.partial(run, task),
        reads,
        LABELLED,
        supervised_cost(task.encoder, "teacher_finetune"),
        schedule="teacher_finetune",
        where=__name__,
    )


def run_from_scratch(encoder: str, work: Work) -> Training:
    with work.seeded(f"{work.kind}/network"):
        network = make_encoder(encoder, work.settings, len(work.videos.classes))
    work.on_device(network)
    video, parts = network.seen(work.settings.video), work.settings.compute.accumulation
    return classifier_training(work, network, work.settings.teacher_finetune, video, "last", parts=parts)


@functools.cache
def kind_from_scratch(encoder: str) -> Kind:
    """The classifier from which layers are transferred in the place of a task's (`teacher_finetune.transferred_from`)."""

    def reads(settings: ExperimentSettings) -> tuple[str, ...]:
        schedule = (name for name in trained_by(settings, "teacher_finetune") if name not in OF_TRANSFER)
        return (*schedule, *network_reads(encoder, settings, of_clips=True), *CLIPS, "compute", "augmentation")

    return Kind(
        f"{encoder}_classifier",
        1,
        functools.partial(run_from_scratch, encoder),
        reads,
        LABELLED,
        supervised_cost(encoder, "teacher_finetune"),
        schedule="teacher_finetune",
        where=__name__,
    )
