"""A table ready to be written: titles, notes and grids of strings, the same for every format, and how numbers are printed.

Percent and percentage points have one decimal. `-` is a missing number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.ledger import is_fraction
from reports.seeds import CONFIDENCE, Estimate, Outperforming, VideoError

INTERVALS = f"[{CONFIDENCE:.0%} interval over seeds, Student's t; of two seeds: lowest to highest]"
"""What stands in brackets after a mean, for the rules of a sheet."""
OUTPERFORMING = (
    f"P(higher): the probability that {{}} is higher by another seed, equal ones counting half [its {CONFIDENCE:.0%} interval, "
    "Clopper and Pearson's]."
)
"""For the rules of a sheet, given what is higher."""
OVER = (
    "What is over seeds only is about other seeds on the same videos; what is over seeds and test videos, where the store says "
    "which videos were told right, is about other videos, too."
)
"""For the rules of a sheet, of intervals and tests of differences."""
Line = Mapping[str, object]
"""A line of a CSV file: what it has in those of the file's columns that it fills."""


Mark = Literal["best", "second"]


@dataclass(frozen=True)
class Grid:
    """A caption, headings and rows of strings. The first `labels` columns name the row. `note`: what stands below.

    marks: row and column, from 0, of the best number of a column and of the second best.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int
    note: str = ""
    marks: Mapping[tuple[int, int], Mark] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """One group of comparable trials: heading, what the group is, its grids."""

    heading: str
    notes: tuple[str, ...]
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class Sheet:
    """A whole table. `rules` say how numbers and verdicts come about and stand under every section. `id`: for references.

    columns, lines: the same numbers as a CSV file has them.
    """

    id: str
    title: str
    subtitle: str
    sections: tuple[Section, ...]
    rules: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def marks_of(columns: Mapping[int, Sequence[float | None]]) -> dict[tuple[int, int], Mark]:
    """What is best and second best by column, given its numbers by row; equal ones, as one decimal shows them, are alike.

    A column with fewer than two different numbers has no marks.
    """
    marks: dict[tuple[int, int], Mark] = {}
    for column, numbers in columns.items():
        shown = [None if number is None else round(number, 1) for number in numbers]
        highest = sorted({number for number in shown if number is not None}, reverse=True)[:2]
        if len(highest) == 2:
            names: dict[float | None, Mark] = {highest[0]: "best", highest[1]: "second"}
            marks |= {(row, column): names[number] for row, number in enumerate(shown) if number in names}
    return marks


def estimate_text(value: Estimate, *, signed: bool, number: Callable[..., str] | None = None) -> str:
    """Mean and interval, with one decimal or as `number` writes it; the range of two values as `[1.0 to 2.0]`."""
    number = number or number_text
    mean = number(value.mean, signed=signed)
    if value.interval is None:
        return mean
    low, high = (number(bound, signed=signed) for bound in value.interval)
    return f"{mean} [{low} to {high}]" if value.is_range else f"{mean} [{low}, {high}]"


def outperforming_text(value: Outperforming) -> str:
    """A probability with its interval, two decimals; of one seed nothing, as it says nothing."""
    if value.n == 1:
        return "-"
    low, high = value.interval
    return f"{value.probability:.2f} [{low:.2f}, {high:.2f}]"


def number_text(value: float | None, *, signed: bool) -> str:
    """A number with one decimal."""
    if value is None:
        return "-"
    rounded = round(value, 1) + 0.0
    return f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}"


def significant_text(value: float, *, signed: bool) -> str:
    """A number of any size with three significant digits."""
    return f"{value + 0.0:+.3g}" if signed and value else f"{value + 0.0:.3g}"


def number_of(metric: str) -> Callable[..., str]:
    """How numbers of a metric are written: percent of a fraction with one decimal, all else with three significant digits."""
    return number_text if is_fraction(metric) else significant_text


def time_text(seconds: float) -> str:
    """Hours, minutes and seconds: `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def to_the_minute(moment: str | None) -> str:
    """A moment of a record: `2026-03-01 14:05`, UTC; nothing for none."""
    return (moment or "")[:16].replace("T", " ")


def p_text(p: float) -> str:
    """A p value."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def configuration_text(label: str | None, parameters: Mapping[str, Any]) -> str:
    """A configuration in words: the paper's row, if it is one, and its parameters by their short names."""
    names = short_names(list(parameters))
    values = ", ".join(f"{names[name]} = {value_text(value)}" for name, value in parameters.items())
    return f"{label} ({values})" if label and values else label or values


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted name, where no other has the same."""
    last = [name.rpartition(".")[2] for name in names]
    return {name: short if last.count(short) == 1 else name for name, short in zip(names, last, strict=True)}


def value_text(value: Any) -> str:
    """The value of a setting; nothing for none."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def scalar(value: Any) -> bool | int | float | str | None:
    """A value of a setting for what takes no lists, such as Optuna and a table of W&B: those as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def counted(number: int, thing: str) -> str:
    """`1 group`, `2 groups`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def over_text(videos: Sequence[VideoError | None], thing: str) -> str:
    """What the intervals and tests of so many things are over, given what the choice of videos gives each."""
    known = sum(one is not None for one in videos)
    if known == len(videos):
        return "Intervals and tests are over seeds and test videos."
    if not known:
        return "Intervals and tests are over seeds only: which videos were told right is not at hand."
    return (
        f"Intervals and tests of {known} of {counted(len(videos), thing)} are over seeds and test videos, else over seeds only."
    )


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
