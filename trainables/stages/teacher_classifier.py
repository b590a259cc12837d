"""A teacher finetuned for classification on the downstream data set. Leaves the whole network.

It starts from the leading layers of the self-supervised encoder (all of them by default), which may be kept frozen: the
transferability study of Sec. 5.2, after Yosinski et al. 2014.
"""

from __future__ import annotations

import functools
from typing import Self

from torch import Tensor, nn

from trainables.models import make_encoder, network_reads
from trainables.models.encoder import Encoder
from trainables.models.weights import load_convolutions
from trainables.settings import ExperimentSettings, TeacherFinetuneSettings
from trainables.stages.kind import CLIPS, LABELLED, Kind, supervised_cost, trained_by
from trainables.stages.supervised import classifier_training
from trainables.stages.work import Training, Work
from trainables.tasks import SelfSupervisedTask


class Transfer(nn.Module):
    """A teacher in finetuning: its frozen leading layers get no gradient and keep their batch-norm statistics."""

    def __init__(self, teacher: Encoder, weights: dict[str, Tensor], settings: TeacherFinetuneSettings) -> None:
        super().__init__()
        self.teacher = teacher
        leading = teacher.layers()[: settings.transferred_layers]
        transferred = _names_of(teacher, leading)
        own = teacher.state_dict()
        kept = {name: value for name, value in own.items() if name in weights and name not in transferred}
        load_convolutions(teacher, {**weights, **kept})
        self.frozen = leading if settings.freeze else []
        for layer in self.frozen:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for layer in self.frozen:
            layer.eval()
        return self


def _names_of(network: nn.Module, layers: list[nn.Module]) -> set[str]:
    """Names that parameters and buffers of some of a network's layers have in its state."""
    tensors = {id(tensor) for layer in layers for tensor in (*layer.parameters(), *layer.buffers())}
    named = (*network.named_parameters(), *network.named_buffers())
    return {name for name, tensor in named if id(tensor) in tensors}


def run(task: type[SelfSupervisedTask], work: Work) -> Training:
    with work.seeded(f"{work.kind}/network"):
        teacher = make_encoder(task.encoder, work.settings, len(work.videos.classes))
    network = Transfer(teacher, work.pretrained(task.name), work.settings.teacher_finetune)
    work.on_device(network)
    video, parts = teacher.seen(work.settings.video), work.settings.compute.accumulation
    return classifier_training(work, network, work.settings.teacher_finetune, video, "last", classifier=teacher, parts=parts)


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
