"""Evaluation of a finetuned network: clips spread evenly over each video, centre crop, predictions averaged (Sec. 4.2).

Validation decides a search; test is computed here once per finetuned network and only ever reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from trainables.models.backbone import place
from trainables.stages.finetune import Classifier
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.video.dataset import ClipDataset, ClipLoader, network_clips
from trainables.video.layouts import Video
from trainables.video.sampling import by_length, uniform_clips

VIDEOS_PER_BATCH = 4


def run(work: Work) -> Artifact:
    started = time.monotonic()
    classes = work.videos.classes
    classifier = Classifier(work.settings, len(classes))
    classifier.load_state_dict(work.inputs["finetuned"].tensors())
    place(classifier, work.device, work.settings.compute)
    classifier.eval()
    metrics: dict[str, float] = {}
    confusion: dict[str, list[list[int]]] = {}
    for part in ("validation", "test"):
        videos = getattr(work.videos, part)
        probabilities = predict(work, classifier, videos)
        targets = torch.tensor([video.label for video in videos])
        for k in (1, 5):
            metrics[f"{part}/top{k}"] = top_k(probabilities, targets, k)
        metrics[f"{part}/videos"] = float(len(videos))
        confusion[part] = confusion_matrix(probabilities.argmax(1), targets, len(classes)).tolist()
    return work.workplace.publish(
        settings=work.settings.model_dump(),
        metrics=metrics,
        seconds=time.monotonic() - started,
        history=[],
        files={"confusion.json": {"classes": list(classes), "rows are true classes": True, **confusion}},
    )


@torch.no_grad()
def predict(work: Work, classifier: Classifier, videos: Sequence[Video]) -> Tensor:
    """Averaged predictions (videos, classes) over `evaluation.clips` clips of each video."""
    evaluation = work.settings.evaluation
    averages = []
    for logits in outputs_of_videos(work, classifier, videos, evaluation.clips):
        scores = logits.softmax(-1) if evaluation.average == "softmax" else logits
        averages.append(scores.mean(1).cpu())
    return torch.cat(averages)


def outputs_of_videos(work: Work, network: nn.Module, videos: Sequence[Video], clips: int) -> Iterator[Tensor]:
    """What the network gives for `clips` clips spread evenly over each video, centre crop: (videos of a batch, clips, C)."""
    video = work.settings.video
    dataset = ClipDataset(
        videos,
        by_length(lambda frames, rng: uniform_clips(frames, video.clip_frames, clips)),
        work.cache,
        video,
        None,
        seed=0,
        stream=work.kind,
    )
    for batch in ClipLoader(dataset, VIDEOS_PER_BATCH, training=False, workers=work.workers).epoch(0):
        pixels = network_clips(batch, video, work.device)
        with work.autocast():
            outputs = network(pixels.flatten(0, 1)).float().reshape(*pixels.shape[:2], -1)
        yield outputs


def top_k(scores: Tensor, targets: Tensor, k: int) -> float:
    """Share of rows of scores (N, classes) whose target (N,) is among the k highest; all classes if there are fewer than k."""
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return float((best == targets[:, None]).any(1).float().mean())


def confusion_matrix(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): rows are true classes, columns predicted ones."""
    return torch.bincount(targets * classes + predictions, minlength=classes * classes).reshape(classes, classes)
