"""What a finetuned teacher says of the view bank, and of validation and test videos: computed once, shared by all
students of that teacher, by fusion and by the ensemble.

Leaves `train`: logits (V, N, classes), features (V, N, F) and maps (V, N, C, h, w), h and w at most `views.side`, of V views of
the N training videos, and prototypes (classes, F), the rows of the teacher's last layer; `validation` and `test`: logits
(N, clips, classes) and features (N, clips, F) of clips spread evenly over each video.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.models import Encoder, make_encoder, network_reads
from trainables.models.encoder import Outputs
from trainables.settings import ExperimentSettings, groups_alone
from trainables.stages.evaluate import clips_of_videos
from trainables.stages.kind import ARITHMETIC, CLIPS, Cost, Counts, Kind
from trainables.stages.metrics import measure_videos
from trainables.stages.supervised import training_clips
from trainables.stages.work import Outcome, Work
from trainables.tasks import SelfSupervisedTask
from trainables.video.dataset import Batch
from trainables.video.videos import PARTS, DataError

BANK = "views"
"""Stream of the bank's clips: teachers and student draw the same ones from it."""
CLIPS_PER_BATCH = 16


def kept_layer(task: type[SelfSupervisedTask], settings: ExperimentSettings) -> int:
    """The layer of a teacher whose maps the student imitates, from 1."""
    layer: int = getattr(settings.views, f"{task.encoder}_layer")
    return layer


def run(task: type[SelfSupervisedTask], work: Work) -> Outcome:
    classes = work.videos.classes
    teacher = make_encoder(task.encoder, work.settings, len(classes))
    teacher.load_state_dict(work.inputs[task.name].tensors())
    teacher = work.for_evaluation(teacher)
    tensors: dict[str, dict[str, Tensor]] = {"train": _bank(work, teacher, kept_layer(task, work.settings))}
    metrics: dict[str, float] = {}
    for part in ("validation", "test"):
        tensors[part] = _of_videos(work, teacher, part)
        measured = measure_videos(confidence(tensors[part]), work.videos.part(part), len(classes), part)
        metrics |= {f"{part}/{task.name}_{name.rpartition('/')[2]}": value for name, value in measured.items()}
    return Outcome(metrics, tensors=tensors)


@torch.no_grad()
def _bank(work: Work, teacher: Encoder, layer: int) -> dict[str, Tensor]:
    loader = work.loader(training_clips(work, BANK), CLIPS_PER_BATCH, training=False)
    found: dict[str, Tensor] = {}
    count, videos = work.settings.views.views, len(loader.dataset)
    for view in range(count):
        first = 0
        for batch in work.batches(loader, view):
            outputs = _outputs(work, teacher, batch, layer)
            maps = stored(work, at_most(outputs.map, work.settings.views.side))
            for name, values in (("logits", outputs.logits), ("features", outputs.features), ("maps", maps)):
                if name not in found:  # at once in its final size: joined at the end it would be in memory twice
                    found[name] = values.new_empty(count, videos, *values.shape[1:])
                found[name][view, first : first + len(values)] = values
            first += len(outputs.logits)
        work.report({"stage": work.kind, "epoch": view + 1, "epochs": count})
    return {**found, "prototypes": teacher.prototypes.float().cpu().clone()}


def at_most(maps: Tensor, side: int | None) -> Tensor:
    """Maps (N, C, h, w) averaged to at most side x side places; smaller ones, or all (None), stay as they are."""
    height, width = maps.shape[-2:]
    if side is None:
        return maps
    return F.adaptive_avg_pool2d(maps, (min(side, height), min(side, width))) if max(height, width) > side else maps


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


def _outputs(work: Work, teacher: Encoder, batch: Batch, layer: int) -> Outputs:
    clips = work.clips(batch, teacher.seen(work.settings.video)).flatten(0, 1)
    with work.autocast():
        outputs = teacher.outputs(clips, layer)
    return Outputs(*(found.float().cpu() for found in outputs))


def confidence(found: Mapping[str, Tensor]) -> Tensor:
    """A teacher's confidence scores (N, classes) for the videos of a part: the mean over clips of its softmax."""
    return found["logits"].softmax(-1).mean(1)


def _view_bytes(encoder: str, layer: int, settings: ExperimentSettings) -> int:
    """Of the features and the map that are kept of a clip."""
    return _bytes_of_outputs(encoder, layer, groups_alone(settings, "video", "frames", "views", encoder))


@functools.lru_cache(maxsize=32)
@torch.no_grad()
def _bytes_of_outputs(encoder: str, layer: int, settings: ExperimentSettings) -> int:
    video = settings.video
    with torch.device("meta"):  # nothing is computed: shapes are enough
        network = make_encoder(encoder, settings, 1).eval()
        outputs = network.outputs(torch.zeros(1, 3, video.clip_frames, video.crop, video.crop), layer)
    return outputs.features.nbytes + at_most(outputs.map, settings.views.side).nelement() * (
        4 if settings.views.stored == "float32" else 2
    )


@functools.cache
def kind_of(task: type[SelfSupervisedTask]) -> Kind:
    def reads(settings: ExperimentSettings) -> tuple[str, ...]:
        kept = ("views.views", "views.stored", "views.side", f"views.{task.encoder}_layer")
        network = network_reads(task.encoder, settings, of_clips=True)
        return (*network, *CLIPS, *ARITHMETIC, "augmentation", "seeds", *kept, "evaluation.clips")

    def cost(settings: ExperimentSettings, videos: Counts) -> Cost:
        asked = (videos.validation + videos.test) * settings.evaluation.clips
        views = videos.train * settings.views.views
        kept = views * _view_bytes(task.encoder, kept_layer(task, settings), settings)
        return Cost(task.encoder, views + asked, kept=kept)

    return Kind(f"{task.name}_views", 3, functools.partial(run, task), reads, PARTS, cost, where=__name__)
