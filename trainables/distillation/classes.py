"""Transport between a teacher's and the student's probabilities of one sample, over the classes (`class_em`).

Moving probability from one class to another costs the ground metric between the two: 1 for any two, or as far as the rows of
the teacher's last layer, its prototypes of the classes, lie apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def total_variation(mu: Tensor, eta: Tensor) -> Tensor:
    """Distances (n, B) of mu (n, B, c) from eta (B, c) with the metric that is 1 between any two classes."""
    return (mu - eta).abs().sum(-1) / 2


def earth_mover(mu: Tensor, eta: Tensor, ground: Tensor) -> Tensor:
    """Exact distances (n, B) of mu (n, B, c) from eta (B, c) with the metric (c, c) of each teacher, ground (n, c, c).

    Network simplex on the CPU (POT), a problem for each teacher and sample. Gradients are the optimal dual potentials (envelope
    theorem). NaN where a prediction is.
    """
    with torch.no_grad():
        solved = [
            _solved(source, sink, metric)
            for of_teacher, metric in zip(_numpy(mu), _numpy(ground), strict=True)
            for source, sink in zip(of_teacher, _numpy(eta), strict=True)
        ]
        cost, of_source, of_sink = (eta.new_tensor(np.array(found)) for found in zip(*solved, strict=True))
    moved = (of_source.view_as(mu) * (mu - mu.detach())).sum(-1) + (of_sink.view_as(mu) * (eta - eta.detach())).sum(-1)
    return cost.view(mu.shape[:2]) + moved


def between_prototypes(prototypes: Sequence[Tensor]) -> Tensor:
    """Metrics (n, c, c) of n teachers: Euclidean distances between the rows of their last layers (c, F), of which the largest
    is 1, so that no distance between predictions is larger than by `total_variation`. ValueError for rows of different numbers.
    """
    if len({len(rows) for rows in prototypes}) > 1:
        raise ValueError(f"prototypes of {[len(rows) for rows in prototypes]} classes: all teachers need the same classes")
    metrics = torch.stack([torch.cdist(rows.double(), rows.double()) for rows in prototypes])
    return metrics / metrics.amax((1, 2), keepdim=True).clamp_min(torch.finfo(metrics.dtype).tiny)


def _numpy(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def _solved(source: np.ndarray, sink: np.ndarray, metric: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Cost of the cheapest plan, and the dual potentials (c,) of source and sink, each of mean 0."""
    from ot import emd2  # POT takes seconds to import

    if not (np.isfinite(source).all() and np.isfinite(sink).all()):
        return np.nan, np.zeros_like(source), np.zeros_like(sink)
    cost, told = emd2(source / source.sum(), sink / sink.sum(), metric, log=True)
    return float(cost), told["u"] - told["u"].mean(), told["v"] - told["v"].mean()
