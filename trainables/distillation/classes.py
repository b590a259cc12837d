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

    By Kantorovich and Rubinstein the distance is the largest sum of f (mu - eta) of functions f of the classes that rise by no
    more than the metric; the best one is found on the CPU for each teacher and sample, and is the gradient. NaN where a
    prediction is.
    """
    with torch.no_grad():
        found = [
            [_best_function(source - sink, metric) for source, sink in zip(of_teacher, _numpy(eta), strict=True)]
            for of_teacher, metric in zip(_numpy(mu), _numpy(ground), strict=True)
        ]
        functions = eta.new_tensor(np.array(found))
    return (functions * (mu - eta)).sum(-1)


def between_prototypes(prototypes: Sequence[Tensor]) -> Tensor:
    """Metrics (n, c, c) of n teachers: Euclidean distances between the rows of their last layers (c, F), of which the largest
    is 1, so that no distance between predictions is larger than by `total_variation`. ValueError for rows of different numbers.
    """
    if len({len(rows) for rows in prototypes}) > 1:
        raise ValueError(f"prototypes of {[len(rows) for rows in prototypes]} classes: all teachers need the same classes")
    exact = "donot_use_mm_for_euclid_dist"
    metrics = torch.stack([torch.cdist(rows.double(), rows.double(), compute_mode=exact) for rows in prototypes])
    return metrics / metrics.amax((1, 2), keepdim=True).clamp_min(torch.finfo(metrics.dtype).tiny)


def _numpy(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def _best_function(excess: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """f (c,): what has too little, by network simplex (POT), extended to all classes. Zeros where nothing is to be moved."""
    from ot import emd2  # POT takes seconds to import

    sources, sinks = excess > 0, excess < 0
    if not (np.isfinite(excess).all() and sources.any() and sinks.any()):
        return np.zeros_like(excess)
    source, sink = excess[sources], -excess[sinks]
    _, told = emd2(source / source.sum(), sink / sink.sum(), metric[np.ix_(sources, sinks)], log=True)
    function: np.ndarray = (metric[:, sinks] - told["v"]).min(1)
    return function
