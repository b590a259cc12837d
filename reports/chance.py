"""Which stages of trials ended at chance: what they feed is then no test of the method, whatever it reaches.

A stage is at chance where none of its accuracies on validation samples is above what guessing reaches, by one-sided binomial
tests over the samples, at 5 % over all accuracies of the stage (Bonferroni). What guessing reaches is on record with
self-supervised tasks; for classifiers it is one over the number of classes. Samples of one video count as if they were of
several videos: what is called at chance is not shown to be above it, and some that is not called so may yet be at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from scipy import special

from harness.ledger import Record
from reports.seeds import SIGNIFICANCE
from reports.sheet import counted

ACCURACY, CHANCE, TOP1 = "_accuracy", "_chance", "val_top1"


class Told(NamedTuple):
    """An accuracy of a stage, what guessing reaches of it, and on how many samples it was measured."""

    accuracy: float
    chance: float
    samples: int

    @property
    def p(self) -> float:
        """How probable it is that guessing reaches as much."""
        return float(special.bdtrc(round(self.accuracy * self.samples) - 1, self.samples, self.chance))


def stages_at_chance(record: Record) -> list[str]:
    """The stages of a trial that ended at chance, in order of their names."""
    told: dict[str, list[Told]] = {}
    for stage, one in _accuracies(record):
        told.setdefault(stage, []).append(one)
    return sorted(stage for stage, ones in told.items() if all(one.p > SIGNIFICANCE / len(ones) for one in ones))


def chance_notes(records: Iterable[Record]) -> Iterator[str]:
    """In words, in how many of the trials a stage ended at chance."""
    trials = [record for record in records if record.metrics]
    at_chance: dict[str, int] = {}
    for record in trials:
        for stage in stages_at_chance(record):
            at_chance[stage] = at_chance.get(stage, 0) + 1
    for stage, number in sorted(at_chance.items()):
        of = counted(len(trials), "trial")
        yield f"{stage} ended at chance in {number} of {of}: its accuracy on validation samples is not told from guessing"


def _accuracies(record: Record) -> Iterator[tuple[str, Told]]:
    for name, value in record.metrics.items():
        stage, _, metric = name.partition("/")
        if metric.endswith(ACCURACY) and (level := record.metrics.get(name.removesuffix(ACCURACY) + CHANCE)) is not None:
            clips = record.settings.get(f"{stage}.validation_clips", 1)
            if samples := clips * _validation(record, "pretraining"):
                yield stage, Told(value, level, samples)
        elif metric.partition("/")[0] == TOP1:
            of_set = metric.removeprefix(TOP1)
            role = f"downstream{of_set}"
            classes = record.data.get(role, {}).get("classes", 0)
            if classes > 1 and (samples := _validation(record, role)):
                yield f"{stage}{of_set}", Told(value, 1 / classes, samples)


def _validation(record: Record, role: str) -> int:
    return int(record.data.get(role, {}).get("validation", 0))
