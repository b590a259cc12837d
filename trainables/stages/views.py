"""What a finetuned teacher says of the view bank, and of validation and test videos (DESIGN 8): computed once, shared by all
students of that teacher, by fusion and by the ensemble.

Leaves `train`: logits (V, N, classes), features (V, N, F) and maps (V, N, C, h, w) of V views of the N training videos;
`validation` and `test`: logits (N, clips, classes) and features (N, clips, F) of clips spread evenly over each video.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.models.backbone import place
from trainables.models.encoder import Encoder, Outputs
from trainables.settings import ExperimentSettings
from trainables.stages.evaluate import clips_of_videos
from trainables.stages.measures import measure_videos
from trainables.stages.supervised import clips_of, training_clips
from trainables.stages.teacher_classifier import new_classifier
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.teachers import TEACHERS
from trainables.video.dataset import ClipLoader
from trainables.video.layouts import DataError

SUFFIX = "_views"
BANK = "views"
"""Stream of the bank's clips: teachers and student draw the same ones from it."""
CLIPS_PER_BATCH = 16


def kept_layer(task: str, settings: ExperimentSettings) -> int:
    """The layer of a teacher whose maps the student imitates, from 1."""
    layer: int = getattr(settings.views, f"{TEACHERS[task].encoder}_layer")
    return layer


def run(work: Work) -> Artifact:
    started = time.monotonic()
    settings, task = work.settings, work.kind.removesuffix(SUFFIX)
    classes = work.videos.classes
    teacher = new_classifier(task, settings, len(classes))
    teacher.load_state_dict(work.inputs[task].tensors())
    place(teacher, work.device, settings.compute)
    teacher.eval()
    tensors: dict[str, dict[str, Tensor]] = {"train": _bank(work, teacher, kept_layer(task, settings))}
    metrics: dict[str, float] = {}
    for part in ("validation", "test"):
        found = _of_videos(work, teacher, part)
        tensors[part] = found
        measured = measure_videos(confidence(found), work.videos.part(part), len(classes), part)
        metrics |= {f"{part}/{task}_{name.rpartition('/')[2]}": value for name, value in measured.items()}
    return work.workplace.publish(
        settings=settings.model_dump(), metrics=metrics, seconds=time.monotonic() - started, history=[], tensors=tensors
    )


@torch.no_grad()
def _bank(work: Work, teacher: Encoder, layer: int) -> dict[str, Tensor]:
    loader = ClipLoader(training_clips(work, BANK), CLIPS_PER_BATCH, training=False, workers=work.workers)
    logits, features, maps = [], [], []
    count = work.settings.views.views
    for view in range(count):
        for batch in loader.epoch(view):
            outputs = _outputs(work, teacher, batch, layer)
            logits.append(outputs.logits)
            features.append(outputs.features)
            maps.append(stored(work, outputs.map))
        work.report({"stage": work.kind, "epoch": view + 1, "epochs": count})
    found = {"logits": logits, "features": features, "maps": maps}
    joined = {name: torch.cat(batches) for name, batches in found.items()}
    return {name: values.reshape(count, -1, *values.shape[1:]) for name, values in joined.items()}


def stored(work: Work, maps: Tensor) -> Tensor:
    """Maps in the form in which they are kept. Raises DataError where they do not fit into it."""
    if work.settings.views.stored == "float32":
        return maps
    half = maps.half()
    if not bool(half.isfinite().all()):
        raise DataError(
            f"{work.kind}: maps of up to {maps.abs().max():.3g} do not fit into float16; set views.stored = float32"
        )
    return half


@torch.no_grad()
def _of_videos(work: Work, teacher: Encoder, part: str) -> dict[str, Tensor]:
    clips = work.settings.evaluation.clips
    logits, features = [], []
    for batch in clips_of_videos(work, work.videos.part(part), clips):
        outputs = _outputs(work, teacher, batch, 1)
        logits.append(outputs.logits.reshape(-1, clips, outputs.logits.shape[-1]))
        features.append(outputs.features.reshape(-1, clips, outputs.features.shape[-1]))
    return {"logits": torch.cat(logits), "features": torch.cat(features)}


def _outputs(work: Work, teacher: Encoder, batch: dict[str, Any], layer: int) -> Outputs:
    clips = clips_of(work, batch, teacher.seen(work.settings.video))
    with work.autocast():
        outputs = teacher.outputs(clips, layer)
    return Outputs(*(found.float().cpu() for found in outputs))


def confidence(found: Mapping[str, Tensor]) -> Tensor:
    """A teacher's confidence scores (N, classes) for the videos of a part: the mean over clips of its softmax."""
    return found["logits"].softmax(-1).mean(1)
