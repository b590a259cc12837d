"""The primary pretraining stage: a pretext task, from auxSKD's convolutions when there are any, else from scratch.

Leaves the convolutions.
"""

from __future__ import annotations

import functools

from trainables.models import make_backbone
from trainables.models.backbone import convolution_weights, load_convolutions, place
from trainables.pretext import TASKS
from trainables.stages.self_supervised import pretrain
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.video.sampling import by_length


def run(work: Work) -> Artifact:
    settings, pretext = work.settings, work.settings.pretext
    task = TASKS[pretext.task](settings)
    with work.seeded("backbone"):
        backbone = make_backbone(settings.backbone)
    if "auxskd" in work.inputs:
        load_convolutions(backbone, work.pretrained("auxskd"))
    with work.seeded("pretext/heads"):
        network = task.network(backbone, "auxskd" in work.inputs)
    place(network, work.device, settings.compute)
    return pretrain(
        work,
        network,
        pretext,
        by_length(task.sample),
        task.loss,
        functools.partial(convolution_weights, backbone),
        validation_clips=pretext.validation_clips,
        video=settings.video,
        augmentation=settings.augmentation,
        usable=lambda video: video.frames >= task.minimum_frames,
        needs=f"{pretext.task} needs {task.minimum_frames} frames",
    )
