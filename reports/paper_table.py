"""A table of a paper as a declaration: its published rows, and the settings that each row stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

PUBLISHED_DIRECTORY = Path(__file__).parent / "published"


@dataclass(frozen=True)
class Row:
    """A row of a paper: what it varies (as printed, and as settings) and the published number in percent."""

    values: tuple[str, ...]
    settings: Mapping[str, Any]
    published: float

    @property
    def label(self) -> str:
        return " / ".join(self.values)

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether `settings` (by dotted name) have this row's values."""
        return all(name in settings and _same(settings[name], value) for name, value in self.settings.items())


@dataclass(frozen=True)
class PaperTable:
    """One published table. `id` is `<paper>/<table>` and names the file and the entry below reports/published/.

    `parameters` maps a column of the published table to the setting it stands for, `fixed` are settings that all rows
    share, `published_column` holds the published numbers, `metric` is ours (a fraction). `paper_settings` are the
    circumstances of the published numbers: a difference makes ours incomparable in absolute terms, and is printed.
    """

    id: str
    parameters: Mapping[str, str]
    published_column: str
    measure: str
    metric: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    paper_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file_stem(self) -> str:
        return self.id.replace("/", "_")

    @property
    def title(self) -> str:
        return str(self._published["title"])

    @property
    def paper(self) -> str:
        return str(self._document["paper"])

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the varied columns."""
        return tuple(name.replace("_", " ") for name in self.parameters)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The paper's rows in the paper's order."""
        published = [dict(zip(self._published["columns"], row, strict=True)) for row in self._published["rows"]]
        return tuple(self._row(entry) for entry in published)

    @property
    def reference(self) -> Row:
        """The paper's best row, against which effects are measured."""
        return max(self.rows, key=lambda row: row.published)

    def _row(self, entry: Mapping[str, Any]) -> Row:
        varied = {setting: entry[column] for column, setting in self.parameters.items()}
        values = tuple(_printed(value) for value in varied.values())
        return Row(values, {**self.fixed, **varied}, float(entry[self.published_column]))

    @cached_property
    def _document(self) -> dict[str, Any]:
        paper = self.id.partition("/")[0]
        document: dict[str, Any] = yaml.safe_load((PUBLISHED_DIRECTORY / f"{paper}.yaml").read_text(encoding="utf-8"))
        return document

    @property
    def _published(self) -> dict[str, Any]:
        table: dict[str, Any] = self._document["tables"][self.id.partition("/")[2]]
        return table


def _printed(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _same(left: Any, right: Any) -> bool:
    numbers = [value for value in (left, right) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == 2:
        return math.isclose(left, right, rel_tol=1e-9)
    return bool(left == right) and not numbers
