"""Whether teachers teach, as a sheet: what they reached on their tasks, and what their classifiers gain from it."""

from __future__ import annotations

from collections.abc import Sequence

from reports.circumstances import circumstances, description, differences_of_settings, set_name
from reports.lines import TEACHING_COLUMNS, teaching_lines
from reports.seeds import Estimate, estimate
from reports.sheet import INTERVALS, Grid, Section, Sheet, estimate_text, number_of, p_text
from reports.teaching import Teacher, Teaching
from reports.verdicts import Judgement

_TASK = {"agrees": "above the rule", "disagrees": "below the rule", "undecided": "undecided"}
_TRANSFER = {"agrees": "better", "disagrees": "worse", "undecided": "undecided"}
_RULES = (
    f"Mean {INTERVALS}; (2): of 2 seeds only. Task: on validation videos; an error is better where it is lower. Rule: what is "
    "reached on the same samples without learning anything, as the stage computed it: sorting, the shortest way through "
    "the frames by their pixels; ego-motion, pairs are close below the distance of pixels that is best for these very "
    "pairs; tracking, patches ranked by their colours; prediction, the frame before. From its task: all layers of the "
    "classifier start from the task; from scratch: none do; the difference is paired by seed. Tests are two-sided and "
    "paired, p values and verdicts by Holm over both questions of all teachers of a group. A teacher teaches where its "
    "task is above the rule and the classifier that starts from it is better."
)


def teaching_sheet(found: Sequence[Teaching]) -> Sheet:
    """A section per downstream set and group; one that says so where no trial has teachers."""
    subtitle = "Tasks beside guessing and rules, classifiers that start from the task beside ones from scratch"
    sections = tuple(_section(one, [other for other in found if other.data_set == one.data_set]) for one in found)
    none = "No trial with teachers whose stages say what a rule reaches"
    title = "Whether teachers teach"
    return Sheet(
        "teachers", title, subtitle if found else none, sections, _RULES, TEACHING_COLUMNS, tuple(teaching_lines(found))
    )


def _section(one: Teaching, alike: Sequence[Teaching]) -> Section:
    groups = [other.group for other in alike]
    which = f", group {alike.index(one) + 1} of {len(alike)}" if len(alike) > 1 else ""
    notes = (*description(one.group), *differences_of_settings(one.group, groups, said=()))
    heading = f"Downstream set {set_name(one.data_set)}{which}: preset {circumstances(one.group)}"
    return Section(heading, notes, (_tasks(one.teachers), _classifiers(one.teachers)))


def _tasks(teachers: Sequence[Teacher]) -> Grid:
    columns = ("teacher", "task", "chance", "rule", "reached", "against the rule", "test", "task is")
    rows = []
    for one in teachers:
        write = number_of(one.metric)
        levels = ("-" if level is None else write(level, signed=False) for level in (one.chance, one.rule))
        reached = estimate_text(estimate(list(one.reached.values())), signed=False, number=write) if one.reached else "-"
        ahead = _estimate(estimate(one.ahead) if one.ahead else None, one.metric)
        rows.append((_words(one.name), _asked(one), *levels, reached, ahead, *_judged(one.task, _TASK)))
    return Grid("Tasks on validation videos; accuracies in percent", columns, tuple(rows), 2)


def _classifiers(teachers: Sequence[Teacher]) -> Grid:
    columns = ("teacher", "from its task", "from scratch", "difference", "test", "start is", "verdict")
    rows = []
    for one in teachers:
        sides = (_estimate(estimate(list(side.values())) if side else None, signed=False) for side in (one.taught, one.scratch))
        rows.append((_words(one.name), *sides, _estimate(one.gain), *_judged(one.transfer, _TRANSFER), one.verdict))
    return Grid("Classifiers on test videos: top-1 in percent", columns, tuple(rows), 1)


def _estimate(value: Estimate | None, metric: str = "top1", signed: bool = True) -> str:
    if value is None:
        return "-"
    text = estimate_text(value, signed=signed, number=number_of(metric))
    return f"{text} ({value.n})" if value.n < 3 else text


def _judged(judgement: Judgement | None, words: dict[str, str]) -> tuple[str, str]:
    if judgement is None or judgement.p is None or judgement.verdict is None:
        return "-", "undecided"
    return p_text(judgement.p), words[judgement.verdict]


def _words(name: str) -> str:
    return name.replace("_", "-")


def _asked(one: Teacher) -> str:
    return one.metric.replace("_", " ") + (", lower is better" if one.lower else "")
