"""Models fusion (Sec. 5.5, Table 2): the mean of the finetuned teachers' confidence scores. Nothing is trained."""

from __future__ import annotations

import time

from trainables.stages.measures import measure_videos
from trainables.stages.views import mean_confidence
from trainables.stages.work import Work
from trainables.store import Artifact


def run(work: Work) -> Artifact:
    started = time.monotonic()
    metrics: dict[str, float] = {}
    for part in ("validation", "test"):
        scores = mean_confidence(work.inputs.values(), part)
        metrics |= measure_videos(scores, work.videos.part(part), len(work.videos.classes), part)
    return work.workplace.publish(
        settings=work.settings.model_dump(), metrics=metrics, seconds=time.monotonic() - started, history=[]
    )
