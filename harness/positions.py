"""Where in a sweep the configurations stand that its space names: its rows, and with a grid search all points.

A position is kept for good: proposals, records and seeds go by it. So an edited space never moves what is there: a
configuration is known again by its parameters, wherever it stands in the space's file; a new one gets a position behind all
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces.space import Parameters, Space
from trainables.files import digest


@dataclass(frozen=True)
class Named:
    """A configuration that a space names. label: of the row it is. added: whether it came after the sweep was started."""

    label: str | None
    parameters: Parameters
    added: bool = False


def named_configurations(space: Space, grid: bool) -> list[Named]:
    """The rows of a space in its order, and for a grid search the points that are no rows. Raises SpaceError."""
    rows = [Named(row.label, dict(row.parameters)) for row in space.rows]
    seen = {digest(row.parameters) for row in rows}
    return rows + [Named(None, point) for point in space.points() if digest(point) not in seen] if grid else rows


def placed(named: Sequence[Named], before: Mapping[int, Named] | None, known: Mapping[int, Parameters]) -> dict[int, Named]:
    """Positions of configurations, in order of position.

    before: where those of the sweep stood when it was last started; None for a new sweep, and for one of before there was such
    a list. known: parameters of what the ledger holds.
    """
    standing = {**known, **{position: one.parameters for position, one in (before or {}).items()}}
    positions: dict[str, int] = {}
    for position in sorted(standing):
        positions.setdefault(digest(standing[position]), position)
    first = {position for position, one in (before or {}).items() if not one.added}
    found: dict[int, Named] = {}
    new: list[Named] = []
    for order, one in enumerate(named):
        position = positions.get(digest(one.parameters), -1)
        if position >= 0 and position not in found:
            found[position] = Named(one.label, one.parameters, before is not None and position not in first)
        elif before is None and order not in standing and order not in found:
            found[order] = one
        else:
            new.append(one)
    after = max([*standing, *found], default=-1) + 1
    found |= {after + number: Named(one.label, one.parameters, added=True) for number, one in enumerate(new)}
    return dict(sorted(found.items()))
