"""What networks cost, as a sheet: absolute numbers, and those of the teachers against those of the student."""

from __future__ import annotations

import math

from reports.circumstances import circumstances, description, differences_of_settings, numbered, said_by
from reports.costs import QUANTITIES, Costs, FilledCosts, Quantity, Spread
from reports.lines import TABLE_COLUMNS, cost_lines
from reports.sheet import Grid, Section, Sheet, counted
from search_spaces.papers import PaperTable

_RULES = (
    "Mean over seeds [least, greatest, where they differ]. FLOPs: two for every multiply-add of a clip's forward pass. Latency "
    "and peak memory: of the forward pass of one clip, batch of one. -: not measured."
)


def cost_sheet(filled: FilledCosts) -> Sheet:
    """The sheet of a table of costs: one section per group and device."""
    table = filled.table
    groups = list({id(costs.group): costs.group for costs in filled.costs if costs.group is not None}.values())
    sections = []
    for costs in filled.costs:
        group = costs.group
        if group is None:
            sections.append(Section("No trials recorded", (), _grids(table, costs)))
            continue
        start = numbered(groups.index(group) + 1, len(groups))
        device = f", measured on {costs.device}" if costs.device else ""
        title = f"{start} {circumstances(group)}{device} ({counted(costs.asked, 'seed')})"
        notes = (*description(group), *differences_of_settings(group, groups, said_by(table)))
        sections.append(Section(title, notes, _grids(table, costs)))
    return Sheet(
        id=table.id,
        title=f"{table.id}: {table.title}",
        subtitle=f"Paper: {table.paper}",
        sections=tuple(sections),
        rules=_RULES,
        columns=TABLE_COLUMNS,
        lines=tuple(cost_lines(filled)),
    )


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
