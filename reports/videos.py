"""What the choice of test videos adds to the uncertainty of a difference, where the store says which videos were told right.

A sum of rows is, for seed s and video v, d_sv = m + S_s + V_v + E_sv, with independent effects of seeds, videos, and both. The
variance of its mean over n seeds and N videos is var(S) / n + var(V) / N + var(E) / nN. The spread of the seeds' means has the
first and the last; var(V) = (MS_V - MS_E) / n, by the mean squares of a two-way table, is what is added here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.ledger import EVALUATIONS, Record
from reports.artifacts import Artifacts, stages_of
from reports.seeds import VideoError
from trainables.artifact_files import NotThere

_ASKED = {"top1": EVALUATIONS, "linear_probe_top1": ("linear_probe",)}
"""Share of videos that were told right -> kinds of stages that have said so of each."""


@dataclass(frozen=True)
class Told:
    """The labelled videos of a part by name, and which of them were told right: numbers whose mean is the share of these."""

    names: tuple[str, ...]
    right: np.ndarray


Telling = Callable[[Record, str], Told | None]
"""Given a trial and a metric such as `test/top1/hmdb51`: what was said; None where that is not known."""


def nothing_told(record: Record, metric: str) -> None:
    """What reports know that have no store at hand."""


def telling(artifacts: Artifacts) -> Telling:
    """What the evaluations in a store have said, each read once. Nothing of metrics that are no share of videos."""

    @functools.cache
    def told(stage: str, key: str, part: str) -> Told | None:
        try:
            columns = artifacts.document(records[key], stage, "videos.json")[part]
        except (NotThere, KeyError):
            return None
        labels, predicted = (np.array(columns[name]) for name in ("label", "predicted"))
        names = [name for name, label in zip(columns["name"], labels, strict=True) if label >= 0]
        return Told(tuple(names), (labels == predicted)[labels >= 0].astype(float))

    records: dict[str, Record] = {}
    """Key of an artifact -> a trial that has it."""

    def of_metric(record: Record, metric: str) -> Told | None:
        part, _, rest = metric.partition("/")
        name, *data_set = rest.split("/")
        stages = [stage for stage in stages_of(record, *_ASKED.get(name, ())) if stage.split("/")[1:] == data_set]
        if len(stages) != 1:
            return None
        key = record.stages[stages[0]]
        records.setdefault(key, record)
        return told(stages[0], key, part)

    return of_metric


def over_splits(told: Sequence[Told | None]) -> Told | None:
    """What was said on several splits as one, whose mean is the mean of their shares; a video may be in several of them.

    None where it is not known of all.
    """
    known = [one for one in told if one is not None]
    if len(known) < 2 or len(known) < len(told):
        return known[0] if len(known) == len(told) == 1 else None
    summed: dict[str, float] = {}
    for one in known:
        for name, right in zip(one.names, one.right, strict=True):
            summed[name] = summed.get(name, 0.0) + right / len(one.names)
    names = tuple(sorted(summed))
    return Told(names, np.array([summed[name] for name in names]) * len(names) / len(known))


def video_error(terms: Sequence[tuple[float, Mapping[int, Told | None]]]) -> VideoError | None:
    """What the choice of videos gives a sum of rows, each with its weight and what its seeds have said of each video.

    None for fewer than two seeds that all rows have, where what was said is not known, or where it is of different videos.
    """
    seeds = sorted(set.intersection(*(set(said) for _, said in terms)))
    told = [[said[seed] for seed in seeds] for _, said in terms]
    known = [one for of_row in told for one in of_row if one is not None]
    if len(seeds) < 2 or len(known) < len(terms) * len(seeds) or len({one.names for one in known}) != 1:
        return None
    right = np.array([one.right for one in known], dtype=float).reshape(len(terms), len(seeds), -1)
    return _error(100 * np.tensordot([weight for weight, _ in terms], right, axes=1))


def _error(sums: np.ndarray) -> VideoError | None:
    """sums: (seeds, videos), percentage points."""
    seeds, videos = sums.shape
    if videos < 2:
        return None
    by_video, by_seed, mean = sums.mean(0), sums.mean(1), sums.mean()
    of_videos = seeds * ((by_video - mean) ** 2).sum() / (videos - 1)
    of_both = ((sums - by_video - by_seed[:, None] + mean) ** 2).sum() / ((seeds - 1) * (videos - 1))
    return VideoError(float(np.sqrt(max(0.0, of_videos - of_both) / (seeds * videos))), videos)
