"""auxSKD, then VSPP, then finetuning and evaluation, from the public pieces alone: no stage, no store, no sweep.

    python docs/examples/auxskd_vspp.py
    python docs/examples/auxskd_vspp.py auxskd.epochs=4 backbone.family=r3d

Half a minute on one CPU core, on the embedded clips at preset demo. What the harness adds to this: keys, sharing, resuming,
seeds, search, records. `run_experiment` in trainables/pipeline.py does the same with the first three.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.data import open_data
from trainables.distillation.similarity import SimilarityDistillation
from trainables.models import make_backbone
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import AugmentationSettings, Optimisation, parse_assignment
from trainables.tasks.vspp import VSPP
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, network_clips
from trainables.video.sampling import ClipSampler, consecutive_clip, uniform_clips
from trainables.video.videos import Video

torch.manual_seed(0)
torch.set_num_threads(1)
settings = configure("demo", {"auxskd.student_temperature": 0.1, **dict(map(parse_assignment, sys.argv[1:]))})
runtime = Runtime(store=Path(), cache=Path(tempfile.mkdtemp(prefix="auxgraph-")), device="cpu")
videos = open_data(settings.data, runtime)
pixels, frames = settings.video, settings.video.clip_frames


def batches(
    part: tuple[Video, ...], sampler: ClipSampler, of: Optimisation, augment: AugmentationSettings | None = None
) -> ClipLoader:
    """Training clips, where they are augmented; else one of each video, in order."""
    number = of.clips_per_video if augment else 1
    clips = ClipDataset(part, sampler, runtime.open_cache(), pixels, augment, seed=0, stream="example", clips_per_video=number)
    return ClipLoader(clips, of.batch_size, training=augment is not None, workers=0)


def train(
    name: str, network: nn.Module, sampler: ClipSampler, of: Optimisation, role: str, loss: Callable[..., Tensor]
) -> None:
    """SGD on what `loss` gives for clips (B, V, 3, K, H, W) and their batch."""
    optimiser = torch.optim.SGD(
        [weight for weight in network.parameters() if weight.requires_grad],
        of.learning_rate,
        of.momentum,
        weight_decay=of.weight_decay,
    )
    loader = batches(videos[role].train, sampler, of, settings.augmentation)
    for epoch in range(of.epochs):
        network.train()
        losses = []
        for batch in loader.epoch(epoch):
            value = loss(network_clips(batch, pixels, torch.device("cpu")), batch)
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(value.detach()))
        print(f"{name} epoch {epoch + 1}: loss {sum(losses) / len(losses):.3f}")


def labels_of(batch: Batch) -> dict[str, Tensor]:
    return {name: value for name, value in batch.items() if value.dim() == 1}


task, backbone = VSPP(settings), make_backbone(settings.backbone)

skd = SimilarityDistillation(backbone, settings.auxskd)  # Sec. 3.1: two views, momentum teacher, memory bank
train("auxskd", skd, task.views, settings.auxskd, "pretraining", lambda clips, batch: skd(clips[:, 0], clips[:, 1])[0])

vspp = task.network(backbone, pretrained=True)  # Sec. 3.2: which segment plays at which speed
train(
    "vspp", vspp, task.sample, settings.pretext, "pretraining", lambda clips, batch: task.loss(vspp, clips, labels_of(batch))[0]
)

backbone.fc = nn.Linear(backbone.features, len(videos["downstream"].classes))  # Sec. 4.2: finetuning and ten clips of a video
train(
    "finetune",
    backbone,
    lambda video, rng: consecutive_clip(video, rng, frames),
    settings.finetune,
    "downstream",
    lambda clips, batch: F.cross_entropy(backbone(clips.flatten(0, 1)), batch["target"]),
)

backbone.eval()
test = batches(videos["downstream"].test, lambda video, rng: uniform_clips(video, rng, frames, 10), settings.finetune)
hits: list[bool] = []
with torch.no_grad():
    for batch in test.epoch(0):
        clips = network_clips(batch, pixels, torch.device("cpu"))
        scores = backbone(clips.flatten(0, 1)).softmax(-1).unflatten(0, clips.shape[:2]).mean(1)
        hits += (scores.argmax(1) == batch["target"]).tolist()
print(f"test top-1: {100 * sum(hits) / len(hits):.1f} (chance {100 / len(videos['downstream'].classes):.1f})")
