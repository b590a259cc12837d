"""Which configuration of a sweep is best, as its search sees it: by the mean of the objective over its seeds.

A configuration stands once all its seeds have ended, whatever came of them; one that still runs is behind all that stand, so
that one lucky seed leads nowhere. Percent where a metric is a fraction.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.identity import DIRECTION, FURTHER, OBJECTIVE, Confirm
from harness.ledger import Outcome, Record, scale_of, value_of
from reports.seeds import SIGNIFICANCE, Estimate, VideoError, estimate
from reports.verdicts import judge
from reports.videos import Telling, nothing_told, video_error

Direction = Literal["maximize", "minimize"]
ENDED: tuple[Outcome, ...] = ("complete", "failed", "pruned")
VALIDATION, TEST = "validation/", "test/"
"""How names of metrics begin that are of validation and of test videos."""


@dataclass(frozen=True)
class Objective:
    """What a search goes by: a metric on validation videos, and whether more of it is better; further: what it goes by beside.

    confirm: with which seeds what it found is judged, where others than its own are to say it.
    """

    metric: str
    direction: Direction = "maximize"
    confirm: Confirm | None = None
    further: tuple[tuple[str, Direction], ...] = ()

    @property
    def all(self) -> tuple[tuple[str, Direction], ...]:
        """This one first."""
        return ((self.metric, self.direction), *self.further)

    @property
    def on_test(self) -> str:
        """The same metric on test videos."""
        return TEST + self.metric.removeprefix(VALIDATION)


DEFAULT = Objective("validation/top1")
"""What sweeps went by that did not write it down."""


def objective_of(identity: Mapping[str, Any]) -> Objective:
    """By what a sweep went, given what its directory says of it."""
    metric, direction = identity.get(OBJECTIVE, DEFAULT.metric), identity.get(DIRECTION, DEFAULT.direction)
    further = tuple((name, way) for name, way in identity.get(FURTHER, ()))
    return Objective(metric, direction, Confirm.written_in(identity), further)


@dataclass(frozen=True)
class Ranked:
    """A configuration with all its trials. label: of the paper's row that it is. asked: how many seeds it is to have.

    counted: the trials whose numbers count: in a sweep that confirms those of seeds that its search has not seen. confirmed:
    whether it has these.

    objective, test: over complete seeds. behind: its objective minus the best one's, over the seeds that both have, with what
    the choice of validation videos adds where that is known; p: that of the test of it, corrected for all that are compared
    with the best. None for the best, and where there is nothing to compare or to test.
    """

    position: int
    label: str | None
    parameters: Mapping[str, Any]
    records: tuple[Record, ...]
    asked: int
    objective: Estimate | None
    test: Estimate | None
    chance: float | None
    counted: tuple[Record, ...]
    confirmed: bool = True
    behind: Estimate | None = None
    p: float | None = None

    @property
    def complete(self) -> int:
        """How many seeds are complete."""
        return sum(record.outcome == "complete" for record in self.records)

    @property
    def is_over(self) -> bool:
        """Whether all its seeds have ended."""
        return sum(record.outcome in ENDED for record in self.records) >= self.asked

    @property
    def stands(self) -> bool:
        """Whether all its seeds have ended, and any with a number, and it is confirmed where that is asked for."""
        return self.objective is not None and self.is_over and self.confirmed

    @property
    def is_behind(self) -> bool:
        """Whether it is told apart from the best: by the paired test, corrected for all that are compared with the best."""
        return self.p is not None and self.p < SIGNIFICANCE

    @property
    def seconds(self) -> tuple[float, float]:
        """What its trials took, and what they would have taken alone."""
        times = [time for record in self.records for time in record.seconds.values()]
        used = sum(time.used for time in times)
        return used, used + sum(time.saved for time in times)


@dataclass(frozen=True)
class Leaderboard:
    """The configurations of a sweep, the best first; those without a number last, in order of position."""

    sweep: str
    objective: Objective
    ranked: tuple[Ranked, ...]

    @property
    def best(self) -> Ranked | None:
        """The best of those that stand; of those that run where none stands yet."""
        return self.ranked[0] if self.ranked and self.ranked[0].objective is not None else None

    @property
    def best_trial(self) -> Record | None:
        """Of those by which the best one is judged, the best."""
        if self.best is None:
            return None
        values = values_of(self.best.counted, self.objective.metric)
        seed = (max if self.objective.direction == "maximize" else min)(values, key=values.__getitem__)
        return next(record for record in self.best.counted if record.seed == seed)

    @property
    def not_told_apart(self) -> list[Ranked]:
        """Those whose objective may be as good as the best one's, as far as the seeds say."""
        return [one for one in self.ranked[1:] if one.objective is not None and not one.is_behind]

    @property
    def records(self) -> list[Record]:
        """In order of position and seed."""
        return sorted((record for one in self.ranked for record in one.records), key=lambda one: (one.index, one.seed))


def leaderboard(sweep: str, records: Sequence[Record], objective: Objective, told: Telling = nothing_told) -> Leaderboard:
    """records: the last of every trial of the sweep that stands. told: what trials have said of each video."""
    asked = 1 + max((record.seed for record in records), default=0)
    by_position: dict[int, list[Record]] = {}
    for record in records:
        by_position.setdefault(record.index, []).append(record)
    configurations = [_configuration(position, of, asked, objective) for position, of in sorted(by_position.items())]
    ranked = sorted(configurations, key=lambda one: _rank(one, objective.direction))
    if ranked and ranked[0].objective is not None:
        ranked[1:] = _against(ranked[0], ranked[1:], objective.metric, told)
    return Leaderboard(sweep, objective, tuple(ranked))


def values_of(records: Sequence[Record], metric: str) -> dict[int, float]:
    """Seed -> the metric of a complete trial, in percent where it is a fraction."""
    scale = scale_of(metric)
    found = {one.seed: value for one in records if one.outcome == "complete" and (value := value_of(one, metric)) is not None}
    return {seed: scale * value for seed, value in sorted(found.items()) if math.isfinite(value)}


def _configuration(position: int, records: Sequence[Record], asked: int, objective: Objective) -> Ranked:
    """asked: how many seeds the fullest configuration has, which all are to have unless only some are confirmed."""
    records = counted = sorted(records, key=lambda record: record.seed)
    confirm, confirmed = objective.confirm, True
    if confirm is not None:
        confirmed = {record.seed for record in records if record.outcome in ENDED} >= set(range(confirm.seeds))
        counted = [record for record in records if (record.seed >= confirm.first) == confirmed]
        asked = max(1 + records[-1].seed, confirm.seeds) if confirmed else confirm.first
    reached, on_test = (list(values_of(counted, metric).values()) for metric in (objective.metric, objective.on_test))
    return Ranked(
        position=position,
        label=records[0].row,
        parameters=records[0].parameters,
        records=tuple(records),
        asked=asked,
        objective=estimate(reached) if reached else None,
        test=estimate(on_test) if on_test else None,
        chance=_chance(records[0], objective.metric),
        counted=tuple(counted),
        confirmed=confirmed,
    )


def _chance(record: Record, metric: str) -> float | None:
    """What guessing reaches, in percent, where that is known: of top-1 on classes of about equal size, and what stages told."""
    told = record.metrics.get(metric.replace("accuracy", "chance")) if "accuracy" in metric else None
    if told is not None:
        return 100 * told
    classes = {entry["classes"] for role, entry in record.data.items() if role.startswith("downstream") and "classes" in entry}
    return 100 / classes.pop() if "top1" in metric and len(classes) == 1 else None


def _rank(one: Ranked, direction: Direction) -> tuple[bool, bool, float, int]:
    if one.objective is None:
        return True, True, 0.0, one.position
    return False, not one.stands, one.objective.mean * (-1 if direction == "maximize" else 1), one.position


def _against(best: Ranked, others: Sequence[Ranked], metric: str, told: Telling) -> list[Ranked]:
    """The others with what they are behind by, all tested together."""
    its = values_of(best.counted, metric)
    behind = []
    for one in others:
        mine = values_of(one.counted, metric)
        differences = [mine[seed] - its[seed] for seed in mine if seed in its]
        behind.append((differences, _videos(one, best, mine.keys() & its.keys(), metric, told)))
    tested = judge([(None, differences, videos) for differences, videos in behind])
    return [
        dataclasses.replace(one, behind=estimate(differences, videos), p=found.p) if differences else one
        for one, (differences, videos), found in zip(others, behind, tested, strict=True)
    ]


def _videos(one: Ranked, best: Ranked, seeds: Collection[int], metric: str, told: Telling) -> VideoError | None:
    if len(seeds) < 2:
        return None
    said = [{record.seed: told(record, metric) for record in each.counted if record.seed in seeds} for each in (one, best)]
    return video_error([(1, said[0]), (-1, said[1])])
