"""What tables say of trials that are no test of their method: stages that ended at chance, and starts that were destroyed.

A stage is at chance where none of its accuracies on validation samples is above what guessing reaches, by one-sided binomial
tests over the samples, at 5 % over all accuracies of the stage (Bonferroni). What guessing reaches is on record with
self-supervised tasks; for classifiers it is one over the number of classes. Samples of one video count as if they were of
several videos: what is called at chance is not shown to be above it, and some that is not called so may yet be at it.

auxSKD destroys its start where its first updates move the weights by more than LEAP of their norm. At the size of preset demo
and with SGD at 0.001 they move by 0.27 and 0.28 (R3D, R(2+1)D) with both temperatures 0.02, after which VSPP learns little in
its epochs, and by 0.06 with the student's temperature 0.1, after which it learns as well as without auxSKD; the preset itself
moves by 0.04. It is said and does not end the trial: a long auxSKD recovers (after 1,368 steps at 0.02 its features are better
than fresh ones), and in other stages such a movement is healthy (frame prediction moves by 0.24 in its first epoch, and
learns).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from scipy import special

from harness.ledger import Record
from reports.seeds import SIGNIFICANCE
from reports.sheet import counted

LEAP = 0.15
"""Of the norm of auxSKD's weights, in its first updates."""
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


def flags(records: Iterable[Record]) -> Iterator[str]:
    """In words, in how many of the trials a stage ended at chance, and in how many auxSKD destroyed its start."""
    trials = [record for record in records if record.metrics]
    at_chance: dict[str, int] = {}
    for record in trials:
        for stage in stages_at_chance(record):
            at_chance[stage] = at_chance.get(stage, 0) + 1
    for stage, number in sorted(at_chance.items()):
        of = counted(len(trials), "trial")
        yield f"{stage} ended at chance in {number} of {of}: its accuracy on validation samples is not told from guessing"
    if leaps := sum(record.metrics.get("auxskd/health_leap", 0.0) > LEAP for record in trials):
        of = counted(len(trials), "trial")
        yield f"auxskd lost much of its start in {leaps} of {of}: its first updates moved the weights by over {LEAP:.0%}"


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
