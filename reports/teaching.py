"""Whether teachers teach: what each reached on its task, beside guessing and a rule that learns nothing, and what its
classifier gains on test videos from having started there.

A teacher teaches where both are shown: its task is told better than by the rule, and the classifier that starts from the task
is better than the one from scratch with the same seed. It does not where either is shown to be otherwise. All tests of a group
are corrected together (reports/verdicts.py).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.ledger import Record, scale_of
from reports.groups import Group, comparable_groups
from reports.seeds import Estimate, estimate
from reports.verdicts import Expected, Judgement, judge
from reports.worth import endings
from trainables.settings import GRAPH_RECIPES, TEACHER_TASKS

LAYERS, FROZEN = "teacher_finetune.transferred_layers", "teacher_finetune.freeze"
FROM = "teacher_finetune.transferred_from"
OF_NO_TEACHER = ("recipe", "teachers.tasks", "teachers.outputs", LAYERS, "evaluation.measures")
OF_STUDENTS = ("graph.", "student.")
"""Settings, and groups of them, on which what is said here of a teacher does not depend."""

_BASELINE = re.compile(r"(\w+)/val_(\w+)_baseline")


@dataclass(frozen=True)
class Teacher:
    """A teacher of a group of trials. All numbers as people read them: in percent where they are fractions.

    metric: of its task on validation videos. lower: whether a lower one is better. chance, rule: what guessing and the rule
    reach, where they are known. reached: the metric by seed. taught, scratch: test top-1 of the classifier by seed, from the
    task and from scratch. task, transfer: the tests of both questions.
    """

    name: str
    metric: str
    lower: bool
    chance: float | None
    rule: float | None
    reached: Mapping[int, float]
    taught: Mapping[int, float]
    scratch: Mapping[int, float]
    task: Judgement | None = None
    transfer: Judgement | None = None

    @property
    def ahead(self) -> list[float]:
        """By how much the task is told better than by the rule, by seed."""
        if self.rule is None:
            return []
        sign = -1 if self.lower else 1
        return [sign * (value - self.rule) for value in self.reached.values()]

    @property
    def gains(self) -> list[float]:
        """What the task adds to the classifier, by the seeds that have both."""
        return [self.taught[seed] - self.scratch[seed] for seed in sorted(self.taught.keys() & self.scratch.keys())]

    @property
    def gain(self) -> Estimate | None:
        return estimate(self.gains) if self.gains else None

    @property
    def verdict(self) -> str:
        """`teaches`, `does not` or `undecided`."""
        judged = {judgement.verdict if judgement else None for judgement in (self.task, self.transfer)}
        if "disagrees" in judged:
            return "does not"
        return "teaches" if judged == {"agrees"} else "undecided"


@dataclass(frozen=True)
class Teaching:
    """The teachers of a group of comparable trials on one downstream set."""

    data_set: str
    group: Group
    teachers: tuple[Teacher, ...]


def teaching(records: Iterable[Record]) -> list[Teaching]:
    """What all trials say of their teachers, by downstream set and group of comparable ones; trials without any say nothing.

    Raises LedgerError for a record whose data sets are not described.
    """
    told = [record for record in records if record.outcome == "complete" and record.settings.get("recipe") in GRAPH_RECIPES]
    varied = {name for record in told for name in record.settings if name in OF_NO_TEACHER or name.startswith(OF_STUDENTS)}
    found = []
    for data_set in sorted({name for record in told for name in endings(record)}):
        through = [record for record in told if data_set in endings(record)]
        for group in comparable_groups(through, {*varied, "data.downstream"}):
            teachers = tuple(_judged(list(_teachers(group.records, data_set))))
            if teachers:
                own = tuple(used for used in group.sets if used.role != "downstream" or used.name == data_set)
                found.append(Teaching(data_set, replace(group, sets=own), teachers))
    return found


def _teachers(records: Sequence[Record], data_set: str) -> Iterable[Teacher]:
    """In the order of the paper's tasks, others after them by name."""
    tasks = {match[1]: match[2] for record in records for name in record.metrics if (match := _BASELINE.fullmatch(name))}
    for task in sorted(
        tasks, key=lambda task: (TEACHER_TASKS.index(task) if task in TEACHER_TASKS else len(TEACHER_TASKS), task)
    ):
        asked = tasks[task]
        accuracy = f"{task}/val_{asked}_accuracy"
        metric = accuracy if any(accuracy in record.metrics for record in records) else f"{task}/val_{asked}"
        scale = scale_of(metric)
        rule, chance = (
            next(iter(_by_seed(records, functools.partial(_number, f"{task}/val_{asked}_{level}", scale)).values()), None)
            for level in ("baseline", "chance")
        )
        top1 = f"test/{task}_top1"
        yield Teacher(
            task,
            metric.removeprefix(f"{task}/val_"),
            metric != accuracy,
            chance,
            rule,
            _by_seed(records, functools.partial(_number, metric, scale)),
            _by_seed(records, functools.partial(_of_classifier, top1, data_set, False)),
            _by_seed(records, functools.partial(_of_classifier, top1, data_set, True)),
        )


def _of_classifier(top1: str, data_set: str, scratch: bool, record: Record) -> float | None:
    """Test top-1 of a teacher in percent: of one whose layers all start from its task, or none do; of others nothing."""
    of_task = record.settings.get(FROM, "task") == "task"
    if not of_task or record.settings.get(FROZEN) or record.settings.get(LAYERS) != (0 if scratch else None):
        return None
    return _number(f"{top1}{endings(record)[data_set]}", 100, record)


def _by_seed(records: Sequence[Record], number: Callable[[Record], float | None]) -> dict[int, float]:
    """Trials of one seed share the teacher, so that the first that says something says it for all."""
    found: dict[int, float] = {}
    for record in records:
        value = number(record)
        if value is not None:
            found.setdefault(record.seed, value)
    return dict(sorted(found.items()))


def _number(metric: str, scale: float, record: Record) -> float | None:
    return scale * record.metrics[metric] if metric in record.metrics else None


def _judged(teachers: Sequence[Teacher]) -> list[Teacher]:
    """With the tests of both questions, corrected together."""
    judgements = judge([(Expected(1, None), values, None) for one in teachers for values in (one.ahead, one.gains)])
    pairs = zip(judgements[::2], judgements[1::2], strict=True)
    return [replace(one, task=task, transfer=transfer) for one, (task, transfer) in zip(teachers, pairs, strict=True)]
