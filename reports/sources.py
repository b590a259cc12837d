"""Where the differences between seeds come from: what each source of variance alone does to every measure of a sweep.

Trials are those of space `variance`, or of any sweep that varies `seeds.vary`: one configuration, with one source following the
seed and the others fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.ledger import Record
from reports.groups import Group
from reports.seeds import Spread, spread
from reports.worth import MEASURES, Backbone, Worth, sweep_worth
from trainables.settings import USUAL_SOURCES

VARY = "seeds.vary"


@dataclass(frozen=True)
class Source:
    """What varied, and how far its seeds differ by measure, in percentage points; without measures of fewer than 2 seeds."""

    label: str
    seeds: int
    spreads: Mapping[str, Spread]


@dataclass(frozen=True)
class Sources:
    """The sources of variance of one configuration on one downstream set.

    every: that in which all usual sources follow the seed; None where no trial has that. videos: of its test part. means: of
    each measure over all trials, in percent.
    """

    data_set: str
    group: Group
    measures: tuple[str, ...]
    sources: tuple[Source, ...]
    every: Source | None
    videos: int
    means: Mapping[str, float]

    def share(self, source: Source, measure: str) -> float | None:
        """A source's variance over that of all together; above 1 by chance, as seeds are few."""
        whole, part = self.every and self.every.spreads.get(measure), source.spreads.get(measure)
        return (part.value / whole.value) ** 2 if whole and part and whole.value else None

    def of_videos(self, measure: str) -> float | None:
        """What the choice of so many test videos adds, percentage points: the standard error of a share of them."""
        if measure not in self.means or measure not in MEASURES or not self.videos:
            return None
        mean = self.means[measure]
        return math.sqrt(mean * (100 - mean) / self.videos)


def sweep_sources(own: Sequence[Record]) -> list[Sources]:
    """Of a sweep's trials, by downstream set and group of comparable ones; none where no trial varies the sources.

    Raises LedgerError for a record whose data sets are not described.
    """
    varying = [record for record in own if VARY in record.parameters]
    return [_sources(worth) for worth in sweep_worth(varying)] if varying else []


def _sources(worth: Worth) -> Sources:
    found = [_source(backbone) for backbone in worth.backbones]
    usual = {record.row for record in worth.group.records if record.parameters[VARY] == USUAL_SOURCES}
    every = next((source for source in found if source.label in usual), None)
    measures = [*worth.pretext, *MEASURES]
    values = {
        measure: [value for backbone in worth.backbones for value in backbone.by_seed.get(measure, {}).values()]
        for measure in measures
    }
    videos = next((used.data.test for used in worth.group.sets if used.role == "downstream"), 0)
    return Sources(
        worth.data_set,
        worth.group,
        tuple(measure for measure in measures if values[measure]),
        tuple(found),
        every,
        videos,
        {measure: fmean(of) for measure, of in values.items() if of},
    )


def _source(backbone: Backbone) -> Source:
    several = {measure: list(values.values()) for measure, values in backbone.by_seed.items() if len(values) > 1}
    return Source(" / ".join(backbone.label), backbone.seeds, {measure: spread(values) for measure, values in several.items()})
