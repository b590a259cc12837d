"""Models fusion (Sec. 5.5, Table 2): the mean of the finetuned teachers' confidence scores. Nothing is trained."""

from __future__ import annotations

import torch

from trainables.stages.answers import answers
from trainables.stages.kind import NEGLIGIBLE, Kind
from trainables.stages.metrics import measure_videos
from trainables.stages.view_bank import confidence
from trainables.stages.work import Outcome, Work
from trainables.video.videos import PARTS


def run(work: Work) -> Outcome:
    metrics: dict[str, float] = {}
    said = {}
    for part in ("validation", "test"):
        scores = torch.stack([confidence(views.tensors(part)) for views in work.inputs.values()]).mean(0)
        said[part] = scores, work.videos.part(part)
        metrics |= measure_videos(*said[part], len(work.videos.classes), part)
    return Outcome(metrics, files=answers(work.videos.classes, said))


KIND = Kind("fusion", 1, run, lambda settings: (), PARTS, lambda settings, videos: NEGLIGIBLE, where=__name__)
