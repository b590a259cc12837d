"""The papers' tables and figures as spaces: `--table auxskd/table2` runs the configurations of its rows and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from search_spaces.papers import SPLIT, PaperTable, PublishedRow, Row, paper_tables
from search_spaces.space import Parameters, Space, SpaceError, Suggest
from trainables.suggestions import did_you_mean

CIRCUMSTANCES = ("data.", "backbone.family")
"""Settings of the published numbers' circumstances that a table has at every preset; sizes are the preset's."""


def table_ids() -> list[str]:
    """The tables and figures of all papers whose rows can be run, as `<paper>/<table>`."""
    return list(paper_tables())


def table_space(table: str, preset_name: str) -> Space:
    """The rows of a table or figure that can be run, each with each of its measures. Raises SpaceError."""
    paper = paper_tables().get(table)
    if paper is None:
        raise SpaceError(f"unknown table '{table}'; valid tables: {', '.join(table_ids())}{did_you_mean(table, table_ids())}")
    at_paper_size = preset_name == "paper"
    base = {name: value for name, value in paper.paper_settings.items() if name.startswith(CIRCUMSTANCES)}
    base |= {**paper.fixed, **(paper.fixed_at_paper_size if at_paper_size else {})}
    rows = [one for row in paper.rows if not row.quoted for one in _by_cell(paper, row, at_paper_size)]
    return Space(
        name=table,
        summary=paper.title,
        rows=tuple(rows),
        suggest=_suggesting(rows),
        grid=lambda: [dict(row.parameters) for row in rows],
        base=base,
        objective="compression/student_parameters" if paper.networks else "validation/top1",
        direction="minimize" if paper.networks else "maximize",
        table=table if paper.measures or paper.networks else None,
        figure=table if paper.is_figure else None,
        trials=len(rows),
    )


def table_rows(table: str) -> tuple[Row, ...]:
    """The rows of a table that can be run, as they are at every preset. Raises SpaceError."""
    return table_space(table, "").rows


def _by_cell(paper: PaperTable, row: PublishedRow, at_paper_size: bool) -> Iterator[Row]:
    """A row once for each of its measures and, at preset `paper`, each split that the measure's number is a mean over."""
    shared = paper.fixed.keys() | paper.fixed_at_paper_size.keys()
    settings = {**row.parameters, **(row.at_paper_size if at_paper_size else {})}
    parameters = {name: value for name, value in settings.items() if name not in shared}
    label = " / ".join(_word(column, row.entry[column]) for column in paper.distinguishing)
    if not paper.measures:
        yield Row(label, parameters)
    for measure in paper.measures:
        of_measure = Row(
            f"{label} -> {measure.column}" if len(paper.measures) > 1 else label, {**parameters, **measure.settings}
        )
        if not at_paper_size or not measure.splits:
            yield of_measure
        for split in measure.splits if at_paper_size else ():
            yield Row(f"{of_measure.label}, split {split}", {**of_measure.parameters, SPLIT: split})


def _word(column: str, value: Any) -> str:
    words = column.replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return str(value)


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
