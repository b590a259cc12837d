"""What the live console of a sweep shows: how far it is, what runs, what has ended, what is best, in the room that there is.

Drawn from plain values, which harness/progress.py keeps. Imports no Ray, no Optuna, no W&B.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.ledger import Outcome, is_fraction

UNITS = ("epoch", "epochs", "batch", "batches")
"""By which a worker tells how far a stage is."""
FEWEST_FINISHED = 3
"""Finished trials that are shown however small the terminal is, if there are any."""
MOST_FINISHED = 200
WIDE, WIDER = 80, 110
"""Columns of a terminal from which the view also names trials and the objective; and shows a bar and the time of each."""
_COLUMNS = {"trial": WIDE, "running": 0, "stage": 0, "": WIDER, "at": 0, "for": WIDER, "loss": 60, "accuracy": 60}
"""Of running trials, and from how many columns of a terminal; the one without a name is the bar."""
BAR = 10
"""Columns of the bar of a stage."""
_STYLES: dict[Outcome, str] = {"complete": "green", "pruned": "yellow", "failed": "red", "interrupted": "yellow"}


@dataclass
class Running:
    """A trial that runs. Times are of a monotonic clock: when it began, its stage began, its worker said anything.

    at: how far its stage is, by UNITS. extended_from: with how many epochs of a shorter training the stage began.
    """

    name: str
    label: str
    begin: float
    stage_begin: float
    told: float
    node: str | None = None
    stage: str | None = None
    at: dict[str, int] = field(default_factory=dict)
    extended_from: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)

    def take(self, line: Mapping[str, Any], now: float) -> None:
        """What its worker says of it."""
        self.told = now
        if line.get("stage") != self.stage:
            self.stage, self.stage_begin, self.at, self.metrics = line.get("stage"), now, {}, {}
            self.extended_from = 0
        self.extended_from = line.get("extended_from", self.extended_from)
        if "epoch" in line:
            self.at = {name: value for name, value in self.at.items() if name == "epochs"}
        self.at |= {name: line[name] for name in UNITS if name in line}
        self.metrics |= line

    @property
    def kind(self) -> str:
        return (self.stage or "").partition("/")[0]

    @property
    def share(self) -> float | None:
        """Of its stage that is done, where that is known; of one that goes on from a shorter training, of the rest."""
        within = self.at["batch"] / max(self.at["batches"], 1) if {"batch", "batches"} <= self.at.keys() else None
        if "epochs" not in self.at:
            return within
        before = self.extended_from
        done = max(self.at.get("epoch", 0), before) - before + (within or 0.0)
        return min(done / max(self.at["epochs"] - before, 1), 1.0)


@dataclass(frozen=True)
class Finished:
    """A trial that has ended, with its objective as people read it; seconds: that it took; saved: that it did not take."""

    name: str
    label: str
    outcome: Outcome
    reused: bool
    result: str
    seconds: float
    saved: float
    reason: str | None

    @property
    def title(self) -> str:
        return "reused" if self.reused else self.outcome

    @property
    def times(self) -> str:
        if not self.reused:
            return duration(self.seconds)
        return f"saved {duration(self.saved)}" if self.saved else ""


@dataclass(frozen=True)
class Shown:
    """All that is shown. done, total: trials; counts: the same and more in words. best: its label and objective."""

    sweep: str
    where: str
    objective: str
    counts: str
    done: int
    total: int | None
    running: Sequence[Running]
    finished: Sequence[Finished]
    best: tuple[str, str] | None
    now: float


def view(shown: Shown, width: int, height: int) -> RenderableType:
    """In so many columns and lines, of which finished trials fill what the others leave."""
    parts: list[RenderableType] = [
        Text.assemble((shown.sweep, "bold"), "  ", (shown.where, "dim"), no_wrap=True, overflow="ellipsis"),
        _bar(shown),
        Text(shown.counts),
    ]
    left = height - 3 - math.ceil(len(shown.counts) / width) - (1 if shown.best else 0)
    if shown.running:
        few = min(len(shown.finished), FEWEST_FINISHED)
        table, lines = _running(shown, width, left - few - (1 if few else 0))
        parts += [Text(), table]
        left -= lines
    if shown.finished:
        fit = max(left - 1, FEWEST_FINISHED)
        parts += [Text(), _finished(shown.finished[-fit:], width)]
    if shown.best:
        label, value = shown.best
        best = Text("best  ", style="bold", no_wrap=True, overflow="ellipsis")
        name = f"{shown.objective} " if width >= WIDE else ""
        parts.append(best.append(f"{name}{value}", style="bold green").append(f"  {label}", style="not bold"))
    return Group(*parts)


def _bar(shown: Shown) -> RenderableType:
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=shown.total, completed=shown.done, pulse=shown.total is None))
    return bar


def _running(shown: Shown, width: int, height: int) -> tuple[RenderableType, int]:
    """The trials that run, and the lines that they take, with the blank one before: as many as `height` has room for, at least
    one."""
    columns = [name for name, least in _COLUMNS.items() if width >= least]
    rows = [_of_running(one, shown.now) for one in shown.running]
    others = [max(len(name), *(len(row[name]) for row in rows)) for name in columns if name not in ("running", "")]
    room = max(width - sum(others) - 2 * len(columns) - (BAR if "" in columns else 0), 1)
    ends = list(itertools.accumulate(max(math.ceil(len(row["running"]) / room), 1) for row in rows))
    count = len(rows) if ends[-1] <= height - 2 else max(sum(end <= height - 3 for end in ends), 1)
    crowded = any(len(row["running"]) > room for row in rows)
    table = _table(header=True, expand=crowded)
    for name in columns:
        if name == "running":
            table.add_column(name, ratio=1 if crowded else None)
        else:
            numbers = name in ("at", "for", "loss", "accuracy")
            table.add_column(name, justify="right" if numbers else "left", no_wrap=True, width=None if name else BAR)
    for one, row in zip(shown.running[:count], rows, strict=False):
        bar = "" if one.share is None else ProgressBar(total=1.0, completed=one.share, width=BAR)
        table.add_row(*(Text(row[name]) if name else bar for name in columns))
    if hidden := len(rows) - count:
        return Group(table, Text(f"and {hidden} more", style="dim")), 2 + ends[count - 1] + 1
    return table, 2 + ends[-1]


def _of_running(one: Running, now: float) -> dict[str, str]:
    stage = one.stage or ""
    return {
        "trial": one.name,
        "running": one.label,
        "stage": stage or "starting",
        "at": how_far(one.at),
        "for": duration(now - one.begin),
        "loss": _latest_loss(stage, one.metrics),
        "accuracy": _latest_accuracy(stage, one.metrics),
    }


def _finished(finished: Sequence[Finished], width: int) -> Table:
    """A line each; the label gives way where there is too little room, and then the reason of a failure, which stands above."""
    rows = [[one.title, one.name, one.label, one.result, one.times, one.reason or ""] for one in finished]
    shown = [0, *([1] if width >= WIDE else []), 2, 3, 4, *([5] if width >= WIDER else [])]
    taken = sum(max(len(row[place]) for row in rows) + 2 for place in shown if place != 5)
    table = _table(header=False, expand=taken > width)
    for place in shown:
        ratio = 1 if place == 2 and taken > width else None
        table.add_column(ratio=ratio, justify="right" if place in (3, 4) else "left", no_wrap=True, overflow="ellipsis")
    for one, row in zip(finished, rows, strict=True):
        table.add_row(*(Text(row[place], style="" if place else _STYLES[one.outcome]) for place in shown))
    return table


def _table(header: bool, expand: bool) -> Table:
    return Table(box=None, expand=expand, show_header=header, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))


def label_of(parameters: Mapping[str, Any], row: str | None, seed: int | None = None) -> str:
    """What tells a trial from others: the paper's row, where that has words, or the parameters by the last parts of their
    names, less the words all end with; and the seed, of a trial."""
    if row and any(letter.isalpha() for letter in row):
        said = [row]
    else:
        names = [name.rsplit(".", 1)[-1].split("_") for name in parameters]
        while len(names) > 1 and len({words[-1] for words in names}) == 1 and all(len(words) > 1 for words in names):
            names = [words[:-1] for words in names]
        said = [f"{'_'.join(words)}={_compact(value)}" for words, value in zip(names, parameters.values(), strict=True)]
    return " ".join([*said, *([] if seed is None else [f"seed={seed}"])])


def _compact(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def shown_metric(name: str, value: float) -> str:
    """A metric for people: accuracies in percent with one decimal, all else with three significant digits."""
    return f"{100 * value:.1f}%" if is_fraction(name) else f"{value:.3g}"


def _latest_loss(stage: str, metrics: Mapping[str, Any]) -> str:
    kind, several, dataset = stage.partition("/")
    value = metrics.get(f"{kind}/loss{several}{dataset}")
    return shown_metric("loss", value) if isinstance(value, float) else ""


def _latest_accuracy(stage: str, metrics: Mapping[str, Any]) -> str:
    """The stage's accuracy, on validation clips where it has one."""
    kind = stage.partition("/")[0]
    names = [name for name in metrics if name.startswith(f"{kind}/") and ("top1" in name or "accuracy" in name)]
    if not names:
        return ""
    name = next((name for name in names if name.startswith(f"{kind}/val_")), names[0])
    return shown_metric(name, metrics[name])


def how_far(at: Mapping[str, int]) -> str:
    """Of a stage by UNITS: `3/10` epochs, `3/10 +25%` within the next one, or `12/40` of what a stage without epochs counts."""
    within = {"batch", "batches"} <= at.keys()
    if "epochs" not in at:
        return f"{at['batch']}/{at['batches']}" if within else ""
    share = f" +{100 * at['batch'] // max(at['batches'], 1)}%" if within else ""
    return f"{at.get('epoch', 0)}/{at['epochs']}{share}"


def duration(seconds: float) -> str:
    """`1:05`, or `2:00:09` with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
