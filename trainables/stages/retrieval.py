"""Nearest-neighbour retrieval: whether a query's nearest videos, by cosine of mean features, hold one of its class (R@k).

The convention of VCOP and its successors: queries are the test videos, the gallery is the training split, clips are averaged;
RSPNet takes the features after the average over space and time, as here, VCOP those before it. The training split is train and
validation together; validation videos as queries search the training videos only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.stages.kind import NEGLIGIBLE, Kind
from trainables.stages.work import Outcome, Work
from trainables.video.videos import PARTS, UNLABELLED

NEIGHBOURS = (1, 5, 10, 20, 50)


def run(work: Work) -> Outcome:
    found = work.inputs["features"].tensors("features")
    train, validation, test = ((found[part].mean(1), found[f"{part}_targets"]) for part in PARTS)
    both = (torch.cat([train[0], validation[0]]), torch.cat([train[1], validation[1]]))
    return Outcome(recalls("validation", *validation, *train) | recalls("test", *test, *both))


def recalls(part: str, queries: Tensor, targets: Tensor, gallery: Tensor, labels: Tensor) -> dict[str, float]:
    """R@k for each k: the share of queries (Q, C) with one of their class among their k nearest in the gallery (G, C).

    With fewer than k videos in the gallery all of them count. Queries without a label do not count.
    """
    queries, targets = queries[targets != UNLABELLED], targets[targets != UNLABELLED]
    similarities = F.normalize(queries.double(), dim=1) @ F.normalize(gallery.double(), dim=1).T
    nearest = labels[similarities.argsort(dim=1, descending=True, stable=True)]
    hits = nearest == targets[:, None]
    return {f"{part}/retrieval_r{k}": float(hits[:, :k].any(1).double().mean()) for k in NEIGHBOURS}


KIND = Kind("retrieval", 1, run, lambda settings: (), PARTS, lambda settings, videos: NEGLIGIBLE, where=__name__)
