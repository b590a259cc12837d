"""A teacher finetuned for classification on the downstream data set. Leaves the whole network.

It starts from the leading layers of the self-supervised encoder (all of them by default), which may be kept frozen: the
transferability study of Sec. 5.2, after Yosinski et al. 2014.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from trainables.models import make_encoder
from trainables.models.backbone import load_convolutions, place
from trainables.models.encoder import Encoder
from trainables.settings import ExperimentSettings, TeacherFinetuneSettings
from trainables.stages.supervised import train_classifier
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.teachers import TEACHERS

SUFFIX = "_classifier"


def new_classifier(task: str, settings: ExperimentSettings, classes: int) -> Encoder:
    """A teacher's network with a last layer, weights as they come."""
    return make_encoder(TEACHERS[task].encoder, settings, classes)


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


def run(work: Work) -> Artifact:
    settings = work.settings
    task = work.kind.removesuffix(SUFFIX)
    with work.seeded(f"{work.kind}/network"):
        teacher = new_classifier(task, settings, len(work.videos.classes))
    network = Transfer(teacher, work.pretrained(task), settings.teacher_finetune)
    place(network, work.device, settings.compute)
    video = teacher.seen(settings.video)
    return train_classifier(work, network, settings.teacher_finetune, video, "last", classifier=teacher)
