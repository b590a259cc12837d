"""What networks cost: teachers beside their student, measured, over the seeds of comparable trials on one device.

The graph-distillation paper has no numbers of it; Sec. 5.7 says that the student is much lighter than the teachers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.ledger import Record
from reports.comparison import groups_of
from reports.groups import Group
from search_spaces.papers import PaperTable


@dataclass(frozen=True)
class Quantity:
    """A cost: the end of its metric's name, its heading, and how many of the heading's unit are one of the record's."""

    name: str
    heading: str
    scale: float


QUANTITIES = (
    Quantity("parameters", "parameters in millions", 1e-6),
    Quantity("flops", "GFLOPs of a clip", 1e-9),
    Quantity("latency", "latency of a clip in ms", 1e3),
    Quantity("peak_memory", "peak memory in MiB", 2.0**-20),
)


@dataclass(frozen=True)
class Spread:
    """Mean, least and greatest of n values, in the unit of the quantity's heading."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Costs:
    """What the networks of one group cost on one device (empty: not recorded), by network and name of the quantity.

    asked: how many seeds there are.
    """

    group: Group | None
    device: str
    asked: int
    spreads: Mapping[tuple[str, str], Spread]


@dataclass(frozen=True)
class FilledCosts:
    """A table of costs and what it is filled with."""

    table: PaperTable
    costs: Sequence[Costs]


def costs_of(table: PaperTable, trials: Iterable[Record]) -> FilledCosts:
    """The costs on record, by group of comparable trials and by device; a single empty one where there are none."""
    costs = [
        _costs(table, group, device)
        for group in groups_of(table, trials)
        for device in sorted({_device(record) for record in group.records})
    ]
    return FilledCosts(table, costs or [Costs(None, "", 1, {})])


def _device(record: Record) -> str:
    return record.versions.get("device", "")


def _costs(table: PaperTable, group: Group, device: str) -> Costs:
    records = [record for record in group.records if _device(record) == device]
    complete = {record.seed: record for record in records if record.outcome == "complete"}
    spreads = {}
    for network in table.networks:
        for quantity in QUANTITIES:
            measured = [record.metrics.get(f"compression/{network}_{quantity.name}", math.nan) for record in complete.values()]
            if values := [quantity.scale * value for value in measured if math.isfinite(value)]:
                spreads[network, quantity.name] = Spread(fmean(values), min(values), max(values), len(values))
    return Costs(group, device, len({record.seed for record in records}), spreads)
