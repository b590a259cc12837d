"""What the scores of videos are worth: top-k accuracy, mean average precision, the confusion matrix.

A video may have several labels (CCV): mean average precision counts all of them. Top-k and the confusion matrix ask for the
first, on which networks are trained, and leave out videos without any.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.video.videos import UNLABELLED, Video


def measure_videos(scores: Tensor, videos: Sequence[Video], classes: int, part: str) -> dict[str, float]:
    """`<part>/top1`, `<part>/top5` and `<part>/map`, fractions in [0, 1], and `<part>/videos`, of scores (N, classes).

    Raises ValueError if no video has a label.
    """
    scores, targets = scores.cpu(), torch.tensor([video.label for video in videos])
    return {
        f"{part}/top1": top_k(scores, targets, 1),
        f"{part}/top5": top_k(scores, targets, 5),
        f"{part}/map": mean_average_precision(scores, relevance(videos, classes)),
        f"{part}/videos": float(len(videos)),
    }


def relevance(videos: Sequence[Video], classes: int) -> Tensor:
    """Which classes each video shows, (N, classes) bool: those of all its labels."""
    shown = torch.zeros(len(videos), classes, dtype=torch.bool)
    for row, video in zip(shown, videos, strict=True):
        row[list(video.labels)] = True
    return shown


def top_k(scores: Tensor, targets: Tensor, k: int) -> float:
    """Share of rows of scores (N, classes) whose target (N,) is among the k highest; all classes if there are fewer than k.

    Rows without a label do not count.
    """
    labelled = targets != UNLABELLED
    best = scores[labelled].topk(min(k, scores.shape[1]), dim=1).indices
    return float((best == targets[labelled, None]).any(1).float().mean())


def confusion_matrix(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): rows are true classes, columns predicted ones. What has no label does not count."""
    labelled = targets != UNLABELLED
    cells = targets[labelled] * classes + predictions[labelled]
    return torch.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def mean_average_precision(scores: Tensor, relevant: Tensor) -> float:
    """Mean of `average_precision` over the classes that any video shows; scores and relevant: (N, classes).

    Raises ValueError if no video shows any class.
    """
    shown = relevant.any(0).nonzero().flatten().tolist()
    if not shown:
        raise ValueError(f"none of {len(relevant)} videos shows any class; mean average precision needs one")
    return sum(average_precision(scores[:, label], relevant[:, label]) for label in shown) / len(shown)


def average_precision(scores: Tensor, relevant: Tensor) -> float:
    """The area under the precision-recall curve, sum_n (R_n - R_{n-1}) P_n, of scores (N,) and relevant (N,) bool.

    n runs over the distinct scores from the highest down, so that videos of equal score are retrieved together; nothing is
    interpolated, as in PASCAL VOC since 2010 without its monotone envelope, and in scikit-learn. Raises ValueError if no video
    is relevant.
    """
    if not relevant.any():
        raise ValueError(f"none of {len(relevant)} videos is relevant; average precision needs one")
    ranked, order = scores.sort(descending=True)
    last_of_ties = torch.cat([ranked[1:] != ranked[:-1], torch.ones_like(relevant[:1])])
    retrieved = torch.arange(1, len(ranked) + 1, device=ranked.device)[last_of_ties]
    hits = relevant[order].cumsum(0)[last_of_ties].double()
    recall, precision = hits / hits[-1], hits / retrieved
    return float((recall.diff(prepend=recall.new_zeros(1)) * precision).sum())
