"""The papers' tables and figures as spaces: `--table auxskd/table2` runs the configurations of its rows and nothing else.

Read from `reports/published/*.yaml`, whose head says how a row's printed values become settings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from search_spaces.space import Parameters, Row, Space, SpaceError, Suggest

PUBLISHED = Path(__file__).resolve().parents[1] / "reports" / "published"
CIRCUMSTANCES = ("data.", "backbone.family")
"""Settings of the published numbers' circumstances that a table has at every preset; sizes are the preset's."""


def table_ids() -> list[str]:
    """The tables and figures of all papers whose rows can be run, as `<paper>/<table>`."""
    return list(_entries())


def table_space(table: str, preset_name: str) -> Space:
    """The rows of a table or figure that can be run, each with each of its measures. Raises SpaceError."""
    entries = _entries()
    if table not in entries:
        raise SpaceError(f"unknown table '{table}'; valid tables: {', '.join(entries)}")
    entry = entries[table]
    base = {name: value for name, value in entry.get("paper_settings", {}).items() if name.startswith(CIRCUMSTANCES)}
    sized = entry.get("at_paper_size", {}) if preset_name == "paper" else {}
    base |= entry.get("fixed", {}) | {name: value for name, value in sized.items() if name not in entry["columns"]}
    meanings = entry["settings"] | {column: name for column, name in sized.items() if column in entry["columns"]}
    splits = entry.get("splits", {}) if preset_name == "paper" else {}
    rows = []
    for number, printed in enumerate(entry["rows"], start=1):
        if number in entry.get("quoted", ()):
            continue
        values = dict(zip(entry["columns"], printed, strict=True))
        parameters: Parameters = {}
        for column, meaning in meanings.items():
            parameters |= {meaning: values[column]} if isinstance(meaning, str) else meaning[values[column]]
        label = " / ".join(_word(column, values[column]) for column in entry["settings"])
        measures: Mapping[str, Any] = entry.get("measures", {"": {}})
        for measure, settings in measures.items():
            of_measure = Row(f"{label} -> {measure}" if len(measures) > 1 else label, parameters | settings)
            rows += _by_split(of_measure, splits[measure]) if measure in splits else [of_measure]
    return Space(
        name=table,
        summary=entry["title"],
        rows=tuple(rows),
        suggest=_suggesting(rows),
        grid=lambda: [dict(row.parameters) for row in rows],
        base=base,
        objective="compression/student_parameters" if "networks" in entry else "validation/top1",
        direction="minimize" if "networks" in entry else "maximize",
        table=table if entry.keys() & {"measures", "networks"} else None,
        figure=table if "figure" in table else None,
        trials=len(rows),
    )


def _by_split(row: Row, splits: Sequence[int]) -> list[Row]:
    return [Row(f"{row.label}, split {split}", {**row.parameters, "data.split": split}) for split in splits]


def _suggesting(rows: Sequence[Row]) -> Callable[[Suggest], Parameters]:
    """Draws values that rows have, of the names that all rows have which share the values drawn so far."""
    choices: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.parameters.items():
            choices[name] = [*choices.get(name, []), *([] if value in choices.get(name, []) else [value])]

    def suggest(trial: Suggest) -> Parameters:
        drawn: Parameters = {}
        alike = list(rows)
        while open_names := [name for name in choices if name not in drawn and all(name in row.parameters for row in alike)]:
            name = open_names[0]
            drawn[name] = trial.suggest_categorical(name, choices[name])
            alike = [row for row in alike if row.parameters[name] == drawn[name]] or alike
        return drawn

    return suggest


def _word(column: str, value: Any) -> str:
    words = column.replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return str(value)


def table_rows(table: str) -> tuple[Row, ...]:
    """The rows of a table that can be run, as they are at every preset. Raises SpaceError."""
    return table_space(table, "").rows


@functools.cache
def _entries() -> dict[str, Any]:
    found = {}
    for path in sorted(PUBLISHED.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, entry in {**document["tables"], **document.get("figures", {})}.items():
            if isinstance(entry, dict) and "settings" in entry:
                found[f"{path.stem}/{name}"] = entry
    return found
