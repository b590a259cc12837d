"""Models fusion (Sec. 5.5, Table 2): the mean of the finetuned teachers' confidence scores. Nothing is trained."""

from __future__ import annotations

import time

import torch

from trainables.stages.measures import measure_videos
from trainables.stages.views import confidence
from trainables.stages.work import Work
from trainables.store import Artifact


def run(work: Work) -> Artifact:
    started = time.monotonic()
    metrics: dict[str, float] = {}
    for part in ("validation", "test"):
        scores = torch.stack([confidence(views.tensors(part)) for views in work.inputs.values()]).mean(0)
        metrics |= measure_videos(scores, work.videos.part(part), len(work.videos.classes), part)
    return work.workplace.publish(
        settings=work.settings.model_dump(), metrics=metrics, seconds=time.monotonic() - started, history=[]
    )
