"""What both papers claim, as declared in reports/claims.yaml, whose head describes the format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reports.costs import QUANTITIES, Quantity
from search_spaces.papers import Measure, PaperTable, PublishedRow, paper_tables
from trainables.suggestions import did_you_mean

_T = TypeVar("_T")
CLAIMS = Path(__file__).with_name("claims.yaml")


class ClaimError(ValueError):
    """A declaration that cannot be read; the message names the file, the claim and what is wrong."""


class Curve(BaseModel):
    """What is made of a metric after each epoch, a list of T numbers x.

    mean: sum(x) / T. early: 100 ((x_1 - x_m) - (x_m - x_T)) / x_1 with m = ceil(T / 2).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    of: Literal["mean", "early"]


@dataclass(frozen=True)
class Contrast:
    """A sum of rows: sign and key of each, as often as it stands there. The claim holds it to be above zero."""

    text: str
    terms: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Source:
    """Where evidence for a claim comes from: sums of the table's rows, by each of its measures, of a curve, or of a cost.

    rows: those that can be run, by the keys that sums use; sums of a cost use the table's networks. command: runs the rows.
    """

    table: PaperTable
    rows: Mapping[str, PublishedRow]
    contrasts: tuple[Contrast, ...]
    measures: tuple[Measure, ...]
    curve: Curve | None
    cost: Quantity | None
    command: str


@dataclass(frozen=True)
class Claim:
    """A claim: its paper's title, where it stands in which words (shortened), and what is tested in what way.

    test: `paired` by seed; `count` for numbers that no seed changes.
    """

    name: str
    paper: str
    where: str
    words: str
    says: str
    test: Literal["paired", "count"]
    sources: tuple[Source, ...]


class _Evidence(BaseModel):
    model_config = ConfigDict(extra="forbid")

    table: str | None = None
    settings: dict[str, dict[str, Any]] | None = None
    run: str | None = None
    effects: Annotated[list[str], Field(min_length=1)]
    measures: list[str] | None = None
    curve: Curve | None = None
    cost: str | None = None

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.table is None) == (self.settings is None):
            raise ValueError("either a table or settings, not both")
        if (self.settings is None) != (self.run is None):
            raise ValueError("settings go with run, what runs them, and a table without")
        if sum(what is not None for what in (self.measures, self.curve, self.cost)) > 1:
            raise ValueError("one of measures, curve and cost")
        return self


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    paper: str
    where: str
    words: str
    says: str
    test: Literal["paired", "count"] = "paired"
    evidence: Annotated[list[_Evidence], Field(min_length=1)]


def read_claims(path: Path = CLAIMS) -> dict[str, Claim]:
    """All claims of a file, by name. Raises ClaimError for one that breaks the format or names what there is not."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ClaimError(f"{path.name}: names of claims and what they are were expected")
    claims = {}
    for name, content in document.items():
        try:
            claims[str(name)] = _claim(str(name), _Declared.model_validate(content))
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"])) or "the whole"
            raise ClaimError(f"{path.name}, claim {name}: {place}: {problem['msg'].removeprefix('Value error, ')}") from None
        except ClaimError as error:
            raise ClaimError(f"{path.name}, claim {name}: {error}") from None
    return claims


def _claim(name: str, declared: _Declared) -> Claim:
    titles = {table.id.partition("/")[0]: table.paper for table in paper_tables().values()}
    paper = _known(declared.paper, titles, "paper")
    sources = tuple(_source(name, evidence) for evidence in declared.evidence)
    return Claim(name, paper, declared.where, declared.words, declared.says, declared.test, sources)


def _source(claim: str, evidence: _Evidence) -> Source:
    if evidence.settings is not None:
        table, rows = _table_of_settings(claim, evidence.settings)
        command = f"python harness/sweep.py {evidence.run} --seeds 3"
    else:
        table = _known(str(evidence.table), paper_tables(), "table")
        rows = {str(number): row for number, row in enumerate(table.rows, start=1) if not (row.quoted or row.reading)}
        command = f"python harness/sweep.py --table {table.id} --seeds 3"
    cost = None
    if evidence.cost is not None:
        cost = _known(evidence.cost, {quantity.name: quantity for quantity in QUANTITIES}, "cost")
    keys = table.networks if cost else rows
    columns = {measure.column: measure for measure in table.measures}
    chosen = columns if evidence.measures is None else {name: _known(name, columns, "measure") for name in evidence.measures}
    if not chosen and cost is None and evidence.curve is None:
        raise ClaimError(f"{table.id} has no measures; a curve or a cost says what is compared")
    of_measures = () if cost or evidence.curve else tuple(chosen.values())
    contrasts = tuple(_contrast(text, keys) for text in evidence.effects)
    return Source(table, rows, contrasts, of_measures, evidence.curve, cost, command)


def _table_of_settings(claim: str, settings: Mapping[str, Mapping[str, Any]]) -> tuple[PaperTable, dict[str, PublishedRow]]:
    """A table without published numbers whose rows have these settings."""
    rows = {name: PublishedRow(name, of_row, {"settings": name}, {"top1": None}, {}) for name, of_row in settings.items()}
    table = PaperTable(
        id=f"claims/{claim}",
        paper="",
        title=claim,
        is_figure=False,
        columns=("settings",),
        distinguishing=("settings",),
        rows=tuple(rows.values()),
        measures=(Measure("top1", {}),),
        varied=frozenset(name for of_row in settings.values() for name in of_row),
        fixed={},
        fixed_at_paper_size={},
        effect=None,
        pairs=(),
        paper_settings={},
        histories={},
        networks={},
    )
    return table, rows


_TERM = re.compile(r"([+-]) (\S+)")


def _contrast(text: str, keys: Mapping[str, object]) -> Contrast:
    signed = text if text.startswith(("+ ", "- ")) else f"+ {text}"
    terms = [(1 if sign == "+" else -1, key) for sign, key in _TERM.findall(signed)]
    if " ".join(f"{'+' if sign > 0 else '-'} {key}" for sign, key in terms) != signed:
        raise ClaimError(f"effect '{text}' is no sum such as '2 - 1'")
    for _, key in terms:
        _known(key, keys, "row")
    return Contrast(text, tuple(terms))


def _known(name: str, valid: Mapping[str, _T], kind: str) -> _T:
    if name not in valid:
        raise ClaimError(f"no such {kind}: {name}; valid {kind}s: {', '.join(valid)}{did_you_mean(name, list(valid))}")
    return valid[name]
