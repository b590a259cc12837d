"""A space made smaller: parameters pinned to a value, ranges and choices narrowed.

    narrowed(space, pinned={"auxskd.teacher_temperature": 0.02}, ranges={"auxskd.student_temperature": Interval(0.01, 0.1)})

What is left out is only what the narrowing excludes: rows and points of the grid with other values. A parameter that is pinned
still is one of a configuration's parameters, so that records of the narrowed and of the whole space can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search_spaces.space import Probe, Space, SpaceError, Suggest
from trainables.settings import SettingsError, is_import_path, is_in_file, parse_value
from trainables.suggestions import did_you_mean

MOST_PROBES = 500
"""Suggestions that are made to find out what a space varies; with conditional parameters one for each choice there is."""


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float

    def admits(self, value: Any) -> bool:
        return _is_number(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


@dataclass(frozen=True)
class Values:
    """These values and no others."""

    values: tuple[Any, ...]

    def admits(self, value: Any) -> bool:
        return any(_same(value, one) for one in self.values)

    def __str__(self) -> str:
        return ",".join(map(str, self.values))


Range = Interval | Values


class NothingLeft(SpaceError):
    """A range that a narrowed space would draw from is empty, perhaps only with the values that were drawn before it."""


def parse_range(text: str) -> tuple[str, Range]:
    """`NAME=LOW:HIGH` or `NAME=a,b` as (name, range). Raises SpaceError."""
    name, _, given = text.partition("=")
    try:
        if not given or not name.strip():
            raise SettingsError("nothing is given")
        if ":" not in given or "," in given or is_import_path(given) or is_in_file(given):
            return name.strip(), Values(tuple(parse_value(f"[{given}]")))
        low, high = map(float, given.split(":"))
        if not math.isfinite(low) or not math.isfinite(high):
            raise ValueError
    except ValueError as error:
        problem = str(error) if isinstance(error, SettingsError) else "the ends of a range are numbers"
        raise SpaceError(f"--range {text!r}: {problem}; expected NAME=LOW:HIGH or NAME=VALUE,VALUE") from None
    if low > high:
        raise SpaceError(f"--range {text!r}: {low:g} is above {high:g}, so nothing is left")
    return name.strip(), Interval(low, high)


def varied(space: Space) -> dict[str, str]:
    """What a space varies, with the range or the choices in words; what only its rows vary, with their values."""
    words = drawn(space)
    for row in space.rows:
        for name, value in row.parameters.items():
            words.setdefault(name, str(value))
    return words


def drawn(space: Space) -> dict[str, str]:
    """What a space draws, with the range or the choices in words, as found by trying every choice of its parameters."""
    probes: list[Mapping[str, Any]] = [{}]
    words: dict[str, dict[str, None]] = {}
    tried: set[tuple[str, str]] = set()
    for answers in probes:  # grows while it is walked
        probe = Probe(answers)
        try:
            space.draw(probe)
        except NothingLeft:
            if not answers:
                raise
            continue
        for name, asked in probe.asked.items():
            words.setdefault(name, {})[asked] = None
        for name, choices in probe.choices.items():
            for choice in choices:
                if (name, repr(choice)) not in tried and len(probes) < MOST_PROBES:
                    tried.add((name, repr(choice)))
                    probes.append({**answers, name: choice})
    return {name: " or ".join(asked) for name, asked in words.items()}


def named_or_drawn(space: Space) -> list[Mapping[str, Any]]:
    """The parameters of the space's rows; of one draw, where it has none."""
    return [row.parameters for row in space.rows] or [space.draw(Probe({}))]


def narrowed(space: Space, pinned: Mapping[str, Any], ranges: Mapping[str, Range]) -> Space:
    """The space with `pinned` parameters at one value and others within `ranges`.

    The number of trials shrinks by that of the rows that are left out. Raises SpaceError for a parameter that the space does
    not vary, for one that is named twice, and where nothing is left of a range or of the space. Where a range depends on what
    was drawn before it, `suggest` of the narrowed space raises NothingLeft for draws with which nothing is left of it.
    """
    within: dict[str, Range] = {**ranges, **{name: Values((value,)) for name, value in pinned.items()}}
    varies = varied(space)
    for name in within:
        if name not in varies:
            near = did_you_mean(name, varies)
            raise SpaceError(f"{space.name} does not vary {name}; it varies {', '.join(varies)}{near}")
    if twice := sorted(pinned.keys() & ranges.keys()):
        raise SpaceError(f"{twice[0]} is set to one value and given a range as well")

    def admitted(parameters: Mapping[str, Any]) -> bool:
        return all(one.admits(parameters[name]) for name, one in within.items() if name in parameters)

    rows = tuple(row for row in space.rows if admitted(row.parameters))
    asked = ", ".join(f"{name}={one}" for name, one in within.items())
    trials = max(space.trials - (len(space.rows) - len(rows)), min(space.trials, len(rows)))
    smaller = replace(
        space,
        rows=rows,
        suggest=lambda trial: space.draw(_Narrowed(trial, space.name, within)),
        grid=(lambda: [point for point in space.points() if admitted(point)]) if space.grid is not None else None,
        trials=max(1, trials),
    )
    if lost := sorted(within.keys() - varied(smaller).keys()):
        raise SpaceError(f"{space.name} does not vary {lost[0]} any more with {asked}")
    if trials < 1:
        raise SpaceError(f"{space.name} has no configuration with {asked}")
    return smaller


@dataclass
class _Narrowed:
    """A trial that is asked for less: of each range or list of choices only what is within."""

    trial: Suggest
    space: str
    within: Mapping[str, Range]

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        low, high = self._ends(name, low, high, step)
        return self.trial.suggest_float(name, low, high, step=step, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        first, last = self._ends(name, low, high, step)
        return self.trial.suggest_int(name, round(first), round(last), step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        within = self.within.get(name)
        left = [choice for choice in choices if within is None or within.admits(choice)]
        if not left:
            raise NothingLeft(f"{name}={within}: {self.space} has {', '.join(map(str, choices))}, so nothing is left")
        return self.trial.suggest_categorical(name, left)

    def _ends(self, name: str, low: float, high: float, step: float | None) -> tuple[float, float]:
        """The ends of the narrowed range, on the steps of the whole one."""
        within = self.within.get(name)
        if within is None:
            return low, high
        if isinstance(within, Values):
            if len(within.values) > 1 or not _is_number(within.values[0]):
                raise SpaceError(
                    f"{name}={within}: {self.space} draws it from {low:g} to {high:g}; narrow it by {name}=LOW:HIGH"
                )
            first, last = max(low, within.values[0]), min(high, within.values[0])
        else:
            first, last = max(low, within.low), min(high, within.high)
        if step:
            first = round(low + math.ceil(round((first - low) / step, 9)) * step, 12)
            last = round(low + math.floor(round((last - low) / step, 9)) * step, 12)
        if first > last:
            steps = f" in steps of {step:g}" if step and step != 1 else ""
            raise NothingLeft(f"{name}={within}: {self.space} draws it from {low:g} to {high:g}{steps}, so nothing is left")
        return first, last


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _same(one: Any, other: Any) -> bool:
    """Equal, with a list and a tuple alike, but 1 and true not."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
