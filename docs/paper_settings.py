"""Writes docs/paper-settings.md: of every row of the papers' tables, each setting at preset `paper` beside the paper's words.

python docs/paper_settings.py

Values are those of the code, words those of docs/paper_settings.yaml, whose head says how they are given.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import yaml

from search_spaces.paper_tables import table_space
from search_spaces.papers import SPLIT, PaperTable, PublishedRow, paper_tables
from trainables.presets import configure
from trainables.recipes import last_stages
from trainables.settings import GRAPH_RECIPES, ExperimentSettings, flat, names_below, setting_names
from trainables.stages.kind import Kind

WORDS = ROOT / "docs" / "paper_settings.yaml"
PAGE = ROOT / "docs" / "paper-settings.md"
SHAPING = (
    "recipe",
    "protocol",
    "data.pretraining",
    "data.pretraining_share",
    "data.downstream",
    "data.split",
    "data.validation_fraction",
    "evaluation.measures",
)
"""What no stage reads, as it says which stages there are and what their data are."""
OF_TEACHERS = ("teachers.tasks", "teachers.outputs")
"""The same, of the recipes of graph distillation."""
PAPERS = {
    "auxskd": "auxSKD and VSPP",
    "graph": "Graph distillation",
}
HEAD = """# Settings of preset `paper`

Each setting that a stage of the papers' rows reads at preset `paper`, with its value and what the paper says of it: its words,
or *silent* and by what the value is as it is. Where papers, released code and this project differ, and why, is in
[fidelity.md](fidelity.md). What a setting means is said by `python harness/sweep.py --settings NAME --preset paper`. Settings
that are off, and change nothing, are left out.

*Written by `python docs/paper_settings.py` from the code and from [`paper_settings.yaml`](paper_settings.yaml).*
"""


class Read(NamedTuple):
    """A row as it runs: values by setting, and the kinds of stages that read each; none where it shapes the experiment."""

    row: PublishedRow
    values: Mapping[str, Any]
    readers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Words:
    """What a paper says of a setting. Either `says`, with `where`, or `silent`, why it has its value."""

    says: str = ""
    where: str = ""
    note: str = ""
    silent: str = ""

    def __post_init__(self) -> None:
        if bool(self.says) == bool(self.silent) or bool(self.says) != bool(self.where):
            raise ValueError(f"{self}: either what the paper says and where, or why it has its value where the paper is silent")

    def __str__(self) -> str:
        if self.silent:
            return f"*silent*: {self.silent}"
        return f"“{self.says}” ({self.where})" + (f"; {self.note}" if self.note else "")


def read_words() -> dict[str, dict[str, Words]]:
    """By paper, and by setting or `group.*`."""
    document = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    return {paper: {name: Words(**words) for name, words in entries.items()} for paper, entries in document.items()}


def entry_for(name: str, entries: Mapping[str, Words]) -> str | None:
    """Under which name the words about a setting stand."""
    group = f"{name.partition('.')[0]}.*"
    return name if name in entries else group if group in entries else None


def rows_of(table: PaperTable) -> list[Read]:
    """The rows of a table that can be run, as preset `paper` runs them."""
    base = dict(table_space(table.id, "paper").base)
    if table.measures:
        base["data.downstream"] = "+".join(dict.fromkeys(measure.data_set for measure in table.measures))
    return [read_by(row, {**base, **row.parameters, **row.at_paper_size}) for row in table.rows if not row.quoted]


def read_by(row: PublishedRow, values: Mapping[str, Any]) -> Read:
    """What the stages of a row read, of an experiment with these values."""
    settings = configure("paper", values)
    shaping = SHAPING + (OF_TEACHERS if settings.recipe in GRAPH_RECIPES else ())
    readers: dict[str, tuple[str, ...]] = dict.fromkeys(shaping, ())
    for kind in _kinds(settings):
        for name in names_below(setting_names(settings), kind.reads(settings)):
            if not settings.is_off(name):
                readers[name] = tuple(dict.fromkeys((*readers.get(name, ()), kind.name)))
    return Read(row, {name: value for name, value in flat(settings).items() if name in readers}, readers)


def _kinds(settings: ExperimentSettings) -> Iterator[Kind]:
    """Those of the experiment's stages, each once, in the order in which they are needed."""
    found: dict[str, Kind] = {}

    def build(kind: Kind, role: str, **inputs: str) -> str:
        found[kind.name] = kind
        return kind.name

    last_stages(settings, build)
    yield from found.values()


@functools.cache
def read_in(paper: str) -> dict[str, list[Read]]:
    """By table of the paper, its rows."""
    return {name: rows_of(table) for name, table in paper_tables().items() if name.partition("/")[0] == paper}


def page() -> str:
    words = read_words()
    return "\n".join([HEAD, *(line for paper in PAPERS for line in _of_paper(paper, words[paper]))])


def _of_paper(paper: str, words: Mapping[str, Words]) -> Iterator[str]:
    tables = read_in(paper)
    every = [read for rows in tables.values() for read in rows]
    title = next(iter(paper_tables()[name] for name in tables)).paper
    yield from (f"## {PAPERS[paper]}", "", f"*{title}*", "")
    yield from ("| setting | value | read by | the paper |", "|---|---|---|---|")
    for name in (name for name in setting_names() if any(name in read.values for read in every)):
        readers = dict.fromkeys(kind for read in every for kind in read.readers.get(name, ()))
        said = words.get(entry_for(name, words) or "", "**nothing is written down**")
        yield f"| `{name}` | {' or '.join(_values(name, every))} | {', '.join(readers)} | {said} |"
    yield ""
    for identity, rows in tables.items():
        yield from _of_table(paper_tables()[identity], rows)


def _of_table(table: PaperTable, rows: Sequence[Read]) -> Iterator[str]:
    """Of the settings that vary in the paper's table above, what all its rows have, and what each has otherwise."""
    every = [read for of_table in read_in(table.id.partition("/")[0]).values() for read in of_table]
    varying = [name for name in dict.fromkeys(name for read in every for name in read.values) if len(_values(name, every)) > 1]
    shared = [name for name in varying if len(_values(name, rows)) == 1 and all(name in read.values for read in rows)]
    yield from (f"### {table.id}", "", f"{table.title}. All rows: {_assigned(shared, rows[0])}.", "")
    for measure in table.measures:
        if measure.splits:
            yield from (f"On {measure.column} the mean over `{SPLIT}` {_printed(list(measure.splits))}.", "")
    yield from ("| row | further settings of it that are not the same in all rows of the paper |", "|---|---|")
    for read in rows:
        yield f"| {read.row.label} | {_assigned([name for name in varying if name not in shared], read)} |"
    yield ""


def _values(name: str, rows: Sequence[Read]) -> list[str]:
    return list(dict.fromkeys(_printed(read.values[name]) for read in rows if name in read.values))


def _assigned(names: Sequence[str], read: Read) -> str:
    return ", ".join(f"`{name}` {_printed(read.values[name])}" for name in names if name in read.values)


def _printed(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_printed, value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
