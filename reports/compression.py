"""What networks cost: teachers beside their student, measured, over the seeds of comparable trials on one device.

The graph-distillation paper has no numbers of it; Sec. 5.7 says that the student is much lighter than the teachers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.ledger import Record
from reports.comparable_groups import Group
from reports.paper_comparison import groups_of
from reports.paper_table import PaperTable
from reports.table_sheet import Grid, Section, Sheet, circumstances, description, differences_of_settings


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

_RULES = (
    "Mean over seeds [least, greatest, where they differ]. FLOPs: two for every multiply-add of a clip's forward pass. Latency "
    "and peak memory: of the forward pass of one clip, batch of one. -: not measured."
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
    found = []
    for group in groups_of(table, trials):
        devices = sorted({_device(record) for record in group.records})
        found += [_costs(table, group, device) for device in devices]
    return FilledCosts(table, found or [Costs(None, "", 1, {})])


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


def cost_sheet(filled: FilledCosts) -> Sheet:
    """The text of a table of costs: one section per group and device."""
    table = filled.table
    groups = list({id(costs.group): costs.group for costs in filled.costs if costs.group is not None}.values())
    sections = []
    for costs in filled.costs:
        group = costs.group
        if group is None:
            sections.append(Section("No trials recorded", (), _grids(table, costs)))
            continue
        place = f"Group {groups.index(group) + 1} of {len(groups)}, preset" if len(groups) > 1 else "Preset"
        device = f", measured on {costs.device}" if costs.device else ""
        seeds = f"{costs.asked} seed{'' if costs.asked == 1 else 's'}"
        declared = {*table.fixed, *table.paper_settings}
        notes = (*description(group), *differences_of_settings(group, groups, declared))
        sections.append(Section(f"{place} {circumstances(group)}{device} ({seeds})", notes, _grids(table, costs)))
    return Sheet(table.id, f"{table.id}: {table.title}", f"Paper: {table.paper}", tuple(sections), _RULES)


def _grids(table: PaperTable, costs: Costs) -> tuple[Grid, Grid]:
    columns = ("network", *(quantity.heading for quantity in QUANTITIES))
    absolute = tuple(
        (heading, *(_spread(costs.spreads.get((network, quantity.name))) for quantity in QUANTITIES))
        for network, heading in table.networks.items()
    )
    *teachers, student = table.networks
    ratios = tuple(
        (table.networks[network], *(_ratio(costs, network, student, quantity) for quantity in QUANTITIES))
        for network in teachers
    )
    last = table.networks[student].lower()
    return Grid("Costs", columns, absolute, labels=1), Grid(f"Times those of the {last}", columns, ratios, labels=1)


def _spread(value: Spread | None) -> str:
    if value is None:
        return "-"
    mean, low, high = map(_significant, (value.mean, value.low, value.high))
    return mean if low == high else f"{mean} [{low}, {high}]"


def _ratio(costs: Costs, network: str, student: str, quantity: Quantity) -> str:
    own, other = (costs.spreads.get((name, quantity.name)) for name in (network, student))
    return _significant(own.mean / other.mean) if own and other and other.mean else "-"


def _significant(value: float) -> str:
    """Three significant digits, or all before the point."""
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, decimals)}f}"
