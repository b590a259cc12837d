"""Models ensemble (Sec. 5.5, Table 2): a linear classifier on the joined features of the finetuned teachers.

The classifier is the linear probe's: multinomial logistic regression on standardised features, the penalty chosen on
validation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.stages.answers import answers
from trainables.stages.kind import NEGLIGIBLE, Kind
from trainables.stages.linear_probe import fitted_scores
from trainables.stages.metrics import measure_videos
from trainables.stages.work import Outcome, Work
from trainables.video.videos import PARTS


def run(work: Work) -> Outcome:
    train = _joined(work, "train").transpose(0, 1)
    parts = {part: _joined(work, part) for part in ("validation", "test")}
    targets = torch.tensor([video.label for video in work.videos.train])
    classes = len(work.videos.classes)

    def measured(part: str, scores: Tensor) -> dict[str, float]:
        return measure_videos(scores, work.videos.part(part), classes, part)

    penalty, scores = fitted_scores(
        work, train, targets, classes, parts, lambda scores: measured("validation", scores)["validation/top1"]
    )
    return Outcome(
        measured("validation", scores["validation"]) | measured("test", scores["test"]) | {"ensemble/penalty": penalty},
        files=answers(work.videos.classes, {part: (said, work.videos.part(part)) for part, said in scores.items()}),
    )


def _joined(work: Work, part: str) -> Tensor:
    """Features of all teachers side by side: (views, videos, F) for the bank, (videos, clips, F) for other parts."""
    return torch.cat([views.tensors(part)["features"] for views in work.inputs.values()], dim=-1)


KIND = Kind("ensemble", 1, run, lambda settings: (), PARTS, lambda settings, videos: NEGLIGIBLE, where=__name__)
