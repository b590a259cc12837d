"""A teacher's self-supervised stage: its encoder trained on its task (graph distillation, Sec. 3). Leaves the encoder."""

from __future__ import annotations

import functools

from trainables.models import make_encoder
from trainables.models.backbone import convolution_weights, place
from trainables.stages.self_supervised import pretrain
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.teachers import TEACHERS
from trainables.teachers.tracks import unpack


def run(work: Work) -> Artifact:
    settings = work.settings
    kind = TEACHERS[work.kind]
    videos = (*work.videos.train, *work.videos.validation)
    tracks = unpack(work.inputs["tracks"].tensors("tracks"), videos) if kind.needs_tracks else None
    task = kind(settings, tracks)
    with work.seeded(f"{work.kind}/encoder"):
        encoder = make_encoder(kind.encoder, settings)
    with work.seeded(f"{work.kind}/heads"):
        network = task.network(encoder)
    place(network, work.device, settings.compute)
    return pretrain(
        work,
        network,
        task.optimisation,
        task.sample,
        task.loss,
        functools.partial(convolution_weights, encoder),
        validation_clips=task.optimisation.validation_clips,
        video=encoder.seen(settings.video),
        augmentation=task.augmentation,
        usable=task.usable,
        needs=task.needs,
    )
