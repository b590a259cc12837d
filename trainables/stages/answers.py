"""What a stage said about each video, and which videos are worth a look: kept in `videos.json` beside the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainables.video.videos import UNLABELLED, Video

FILE = "videos.json"
DIGITS = 5


def answers(classes: Sequence[str], parts: Mapping[str, tuple[Tensor, Sequence[Video]]]) -> dict[str, dict[str, Any]]:
    """`videos.json`: the `classes`, and per part a column each of what its videos are and what was said of them.

    parts: scores (videos, classes) and the videos. Columns: `name`; `label`, the number of the class that top-1 asks for, -1
    where there is none; `predicted`; `score`, of the predicted class; `label_score`, of the label, null where there is none.
    """
    return {FILE: {"classes": list(classes), **{part: _columns(*of) for part, of in parts.items()}}}


def _columns(scores: Tensor, videos: Sequence[Video]) -> dict[str, list[Any]]:
    best = scores.max(1)
    labels = [video.label for video in videos]
    of_labels = [None if label == UNLABELLED else _rounded(row[label]) for row, label in zip(scores, labels, strict=True)]
    return {
        "name": [video.name for video in videos],
        "label": labels,
        "predicted": best.indices.tolist(),
        "score": [_rounded(value) for value in best.values],
        "label_score": of_labels,
    }


def _rounded(value: Tensor) -> float:
    return round(float(value), DIGITS)


def hardest(scores: Tensor, videos: Sequence[Video], count: int) -> list[int]:
    """The videos, by number, whose label has the lowest score compared with the best other class; the hardest first.

    scores: (videos, classes). Videos without a label are none of them.
    """
    labels = torch.tensor([video.label for video in videos])
    labelled = (labels != UNLABELLED).nonzero().flatten()
    own = scores[labelled, labels[labelled]]
    others = scores[labelled].scatter(1, labels[labelled, None], -torch.inf).amax(1)
    order = (own - others).argsort(stable=True)
    return labelled[order[:count]].tolist()
