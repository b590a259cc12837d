"""A teacher finetuned for classification on the downstream data set. Leaves the whole network.

It starts from the leading layers of the self-supervised encoder (all of them by default), or of a classifier of the same
network that was trained from scratch; they may be kept frozen: the transferability study of Sec. 5.2 (transfer.py). One from
scratch has nothing before it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

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
    return run_encoder(task.encoder, work)


def run_encoder(encoder: str, work: Work) -> Training:
    """Of the one stage before it, if any, the classifier takes over what the settings say."""
    with work.seeded(f"{work.kind}/network"):
        teacher = make_encoder(encoder, work.settings, len(work.videos.classes))
    finetuning = work.settings.teacher_finetune
    network: nn.Module = teacher
    for start in work.inputs:
        network = Transfer(teacher, work.pretrained(start), finetuning.transferred_layers, finetuning.freeze)
    work.on_device(network)
    video, parts = teacher.seen(work.settings.video), work.settings.compute.accumulation
    return classifier_training(work, network, finetuning, video, "last", classifier=teacher, parts=parts)


@functools.cache
def kind_of(task: type[SelfSupervisedTask]) -> Kind:
    return _kind(task.name, task.encoder, functools.partial(run, task))


@functools.cache
def kind_from_scratch(encoder: str) -> Kind:
    """The classifier from which layers are transferred in the place of a task's (`teacher_finetune.transferred_from`)."""
    return _kind(encoder, encoder, functools.partial(run_encoder, encoder), unread=OF_TRANSFER)


def _kind(name: str, encoder: str, run: Callable[[Work], Training], unread: Sequence[str] = ()) -> Kind:
    def reads(settings: ExperimentSettings) -> tuple[str, ...]:
        schedule = (setting for setting in trained_by(settings, "teacher_finetune") if setting not in unread)
        return (*schedule, *network_reads(encoder, settings, of_clips=True), *CLIPS, "compute", "augmentation")

    return Kind(
        f"{name}_classifier",
        3,
        run,
        reads,
        LABELLED,
        supervised_cost(encoder, "teacher_finetune"),
        schedule="teacher_finetune",
        where=__name__,
    )
