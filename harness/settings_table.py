"""The settings of a sweep for people and for programs: what each is now, which values are valid, what it means.

Imports no torch where the settings themselves do not.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from search_spaces.narrowing import named_or_drawn, varied
from search_spaces.papers import as_assigned
from search_spaces.space import Space
from trainables.presets import configure, departures
from trainables.settings import flat
from trainables.settings.described import Described, described

NAME_WIDTH = 24
"""Columns of names, but in groups that have a longer one."""
VALUE_WIDTH = 15
"""Columns of values; longer ones are wrapped."""


@dataclass(frozen=True)
class Shown:
    """A setting as a sweep has it. varies: over what it varies, or None. departs: whether it is not the preset's."""

    setting: Described
    value: Any
    varies: str | None
    departs: bool


def settings_of(
    preset: str, values: Mapping[str, Any], space: Space | None, pinned: Mapping[str, Any], prefix: str = ""
) -> list[Shown]:
    """The settings whose names begin with `prefix`, as the configurations of a sweep have them. Raises SettingsError.

    values: what is set over the preset for all of them. space: what is varied. pinned: parameters of it that are at one value.
    """
    usual = flat(configure(preset, values))
    examples = [configure(preset, {**values, **parameters}) for parameters in (named_or_drawn(space) if space else [{}])]
    now = [flat(settings) for settings in examples]
    departing = set.intersection(*(set(departures(settings, preset)) for settings in examples))
    over = {name: words for name, words in (varied(space) if space else {}).items() if name not in pinned}

    def shown(one: Described) -> Shown:
        values = list({repr(settings.get(one.name)): settings.get(one.name) for settings in now}.values())
        differs = f"with the others, {' or '.join(map(as_assigned, values))}" if len(values) > 1 else None
        value = usual[one.name] if one.name in over else values[0]
        departs = one.name in departing and one.name not in over
        return Shown(one, value, over.get(one.name, differs), departs)

    return [shown(one) for one in described(prefix, examples[0])]


def as_json(shown: list[Shown]) -> str:
    """A list with an object for each setting."""
    rows = [{**asdict(one.setting), "value": one.value, "varies": one.varies, "departs": one.departs} for one in shown]
    return json.dumps(rows, indent=1)


def show(shown: list[Shown], title: str, console: Console) -> None:
    """A table by group of settings, and a line that says what its marks mean."""
    console.print(Text(title, style="bold"))
    for group, found in itertools.groupby(shown, lambda one: one.setting.group):
        members = list(found)
        table = Table(box=None, expand=True, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(width=max(NAME_WIDTH, *(len(_name(one)) for one in members)), overflow="fold")
        table.add_column(width=VALUE_WIDTH, overflow="fold")
        table.add_column(ratio=1, overflow="fold")
        for one in members:
            style = "cyan" if one.varies else "yellow" if one.departs else ""
            value = "varies" if one.varies else as_assigned(one.value)
            table.add_row(Text(_name(one), style=style), Text(value, style=style), _meaning(one))
        console.print(
            Text.assemble("\n", (group, "bold"), "  ", (members[0].setting.about_group, "italic dim")) if group else ""
        )
        console.print(table)
    marks = ["~ the space varies it"] if any(one.varies for one in shown) else []
    marks += ["* departs from the preset"] if any(one.departs and not one.varies for one in shown) else []
    plain = [one for one in shown if ":" not in as_assigned(one.value)] or shown
    example = f"to change one: --set {plain[-1].setting.name}={as_assigned(plain[-1].value)}"
    console.print(Text("\n" + "; ".join([*marks, example]), style="dim"))


def _name(one: Shown) -> str:
    """The name within its group, after the mark."""
    mark = "~" if one.varies else "*" if one.departs else " "
    return f"{mark} {one.setting.name.rpartition('.')[2]}"


def _meaning(one: Shown) -> Text:
    valid = f"{one.setting.type}: {one.setting.valid}" if one.setting.valid else one.setting.type
    text = Text(f"varied: {one.varies}\n", style="cyan") if one.varies else Text()
    text.append(valid, style="not bold default")
    if one.setting.description:
        text.append(f"\n{one.setting.description}", style="dim default")
    return text
