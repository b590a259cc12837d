"""What the benchmarks share: sides that are measured in turn, and how figures are shown.

A machine changes speed while something is measured on it. So the sides of a comparison take turns, and a ratio is the median
of the ratios that the single rounds gave.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

MAXIMUM_WIDTH = 110


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """A side of a comparison: does `work` and returns the seconds that took, by a clock."""

    def side() -> float:
        begin = clock()
        work()
        return clock() - begin

    return side


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each side returned, one value per round; within a round the sides run one after the other."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            values[name].append(side())
    return values


def median_ratio(values: Sequence[float], references: Sequence[float]) -> float:
    """The median over the rounds of value / reference."""
    return statistics.median(value / reference for value, reference in zip(values, references, strict=True))


@dataclass(frozen=True)
class Figure:
    """A measured value, its ratio to what it is compared with, and the bound that the ratio has to keep."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None where there is none."""
        if self.ratio is None or not self.target:
            return None
        return self.ratio <= self.at_most if self.at_most is not None else self.ratio >= (self.at_least or 0.0)


def show(benchmark: str, title: str, figures: Sequence[Figure], **facts: Any) -> None:
    """Print the figures as a table and as one line of JSON, which also has `facts` and what machine this is."""
    table = Table("", "value", "ratio", "target", "", title=title, title_justify="left")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.value:.4g} {figure.unit}",
            f"{figure.ratio:.3g}" if figure.ratio is not None else "",
            figure.target,
            {True: "[green]met", False: "[red]missed", None: ""}[figure.met],
        )
    console = Console()
    console.print(table, width=min(console.width, MAXIMUM_WIDTH) if console.is_terminal else MAXIMUM_WIDTH)
    lines = [
        {"name": f.name, "value": f.value, "unit": f.unit, "ratio": f.ratio, "target": f.target or None, "met": f.met}
        for f in figures
    ]
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    print(json.dumps({"benchmark": benchmark, "figures": lines, **facts, "machine": machine}))
