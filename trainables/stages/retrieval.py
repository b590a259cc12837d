"""Nearest-neighbour retrieval: whether a query's nearest videos, by cosine of mean features, hold one of its class (R@k).

The convention of VCOP and its successors: queries are the test videos, the gallery is the training split, clips are averaged;
RSPNet takes the features after the average over space and time, as here, VCOP those before it. The training split is train and
validation together; validation videos as queries search the training videos only.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.stages import pictures
from trainables.stages.kind import NEGLIGIBLE, Kind
from trainables.stages.work import Outcome, Work
from trainables.video.videos import PARTS, UNLABELLED

NEIGHBOURS = (1, 5, 10, 20, 50)
FILE = "neighbours.json"
KEPT = 5
"""Nearest videos of each test video that are kept."""
HARDEST, ANY = 4, 4
"""Test videos of which pictures are kept: those with the fewest of their class among the nearest, and others spread evenly."""


def run(work: Work) -> Outcome:
    found = work.inputs["features"].tensors("features")
    train, validation, test = ((found[part].mean(1), found[f"{part}_targets"]) for part in PARTS)
    both = (torch.cat([train[0], validation[0]]), torch.cat([train[1], validation[1]]))
    metrics = recalls("validation", *validation, *train) | recalls("test", *test, *both)
    nearest, similarities = neighbours(test[0], both[0])
    shown = _worth_a_look(both[1][nearest] == test[1][:, None])
    gallery = (*work.videos.train, *work.videos.validation)
    strips = {
        "queries": pictures.film_strips(work, [work.videos.test[query] for query in shown]),
        "query_numbers": torch.tensor(shown),
        "neighbours": torch.stack([pictures.film_strips(work, [gallery[one] for one in nearest[query]]) for query in shown]),
    }
    columns: dict[str, Any] = {
        "classes": list(work.videos.classes),
        "gallery": {"name": [video.name for video in gallery], "label": both[1].tolist()},
        "test": {
            "name": [video.name for video in work.videos.test],
            "label": test[1].tolist(),
            "nearest": nearest.tolist(),
            "similarity": [[round(float(value), 4) for value in row] for row in similarities],
        },
    }
    return Outcome(metrics, tensors={pictures.FILE: strips}, files={FILE: columns})


def recalls(part: str, queries: Tensor, targets: Tensor, gallery: Tensor, labels: Tensor) -> dict[str, float]:
    """R@k for each k: the share of queries (Q, C) with one of their class among their k nearest in the gallery (G, C).

    With fewer than k videos in the gallery all of them count. Queries without a label do not count.
    """
    queries, targets = queries[targets != UNLABELLED], targets[targets != UNLABELLED]
    hits = labels[neighbours(queries, gallery, len(gallery))[0]] == targets[:, None]
    return {f"{part}/retrieval_r{k}": float(hits[:, :k].any(1).double().mean()) for k in NEIGHBOURS}


def neighbours(queries: Tensor, gallery: Tensor, count: int = KEPT) -> tuple[Tensor, Tensor]:
    """The numbers in the gallery (G, C) of the nearest to each query (Q, C), and their cosines: both (Q, count or G)."""
    similarities = F.normalize(queries.double(), dim=1) @ F.normalize(gallery.double(), dim=1).T
    found, order = similarities.sort(dim=1, descending=True, stable=True)
    return order[:, :count], found[:, :count]


def _worth_a_look(hits: Tensor) -> list[int]:
    """Queries, by number: the hardest and others. hits (Q, KEPT): which of the nearest are of their class."""
    hardest: list[int] = hits.sum(1).argsort(stable=True)[:HARDEST].tolist()
    spread = torch.linspace(0, len(hits) - 1, ANY).round().int().tolist()
    return list(dict.fromkeys([*hardest, *spread]))


KIND = Kind("retrieval", 1, run, lambda settings: (), PARTS, lambda settings, videos: NEGLIGIBLE, where=__name__)
