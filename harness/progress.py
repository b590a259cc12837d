"""The live console of a sweep: what runs, how far it is, what came out, what is best so far, how long it will take.

On a terminal one view that is redrawn at most four times a second; elsewhere one plain line per trial and a heartbeat.
Imports no Ray, no Optuna, no W&B.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.ledger import Outcome, Record, is_fraction

HEARTBEAT_SECONDS = 30.0
FINISHED_SHOWN = 3

_STYLES: dict[Outcome, str] = {"complete": "green", "pruned": "yellow", "failed": "red", "interrupted": "yellow"}
_ENDED: tuple[Outcome, ...] = ("complete", "pruned", "failed")
UNITS = ("epoch", "epochs", "batch", "batches")
_WIDE = 80
"""Columns from which the view also names the trials and the objective."""


@dataclass
class _Running:
    """told: when its worker last said anything. at: how far its stage is, by UNITS."""

    name: str
    label: str
    begin: float
    told: float
    node: str | None = None
    stage: str | None = None
    at: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def take(self, line: Mapping[str, Any]) -> None:
        if line.get("stage") != self.stage:
            self.stage, self.at, self.metrics = line.get("stage"), {}, {}
        self.at = ({} if "epoch" in line else self.at) | {name: line[name] for name in UNITS if name in line}
        self.metrics |= line


@dataclass
class _Finished:
    name: str
    label: str
    outcome: Outcome
    reused: bool
    objective: float | None
    seconds: float
    saved: float
    reason: str | None

    @property
    def title(self) -> str:
        return "reused" if self.reused else self.outcome


class Progress:
    """Shows a sweep of `total` trials (None: not known), judged by the metric `objective`: best is the configuration whose mean
    over its seeds is, in `direction`.

    A context manager; its methods may be called from any thread. Times are seconds, accuracies fractions in [0, 1].
    A complete trial counts as reused when it was not started here, or when none of its stages had to run.
    """

    def __init__(
        self,
        sweep: str,
        total: int | None,
        objective: str,
        where: str,
        console: Console | None = None,
        direction: Literal["maximize", "minimize"] = "maximize",
    ) -> None:
        self._sweep = sweep
        self._total = total
        self._objective = objective
        self._where = where
        self._console = console or Console()
        self._direction = direction
        self._lock = threading.RLock()
        self._begin = time.monotonic()
        self._last_line = self._begin
        self._running: dict[str, _Running] = {}
        self._most_at_once = 1
        self._outcomes: dict[str, Outcome] = {}
        self._reused: set[str] = set()
        self._computed_seconds: list[float] = []
        self._finished: deque[_Finished] = deque(maxlen=FINISHED_SHOWN)
        self._best: tuple[float, str] | None = None
        self._note: str | None = None
        self._stopped = threading.Event()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._begin = self._last_line = time.monotonic()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._view, refresh_per_second=4)
            self._live.start(refresh=True)
        else:
            self._line(f"{self._sweep}: {self._total or 'an open number of'} trials, {self._where}")
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stopped.set()
        if self._live:
            self._live.stop()
        else:
            self._line(self._counts())

    def trial_started(self, trial: str, name: str, parameters: Mapping[str, Any], seed: int, row: str | None = None) -> None:
        """A trial of the paper's row `row` (None: not in the paper) begins to run."""
        with self._lock:
            self._outcomes.pop(trial, None)
            self._reused.discard(trial)
            now = time.monotonic()
            self._running[trial] = _Running(name, _label(parameters, row, seed), now, now)
            self._most_at_once = max(self._most_at_once, len(self._running))

    def runs_on(self, trial: str, node: str) -> None:
        """Of a trial the machine."""
        with self._lock:
            if trial in self._running:
                self._running[trial].node = node

    def reached(self, trial: str, line: Mapping[str, Any]) -> None:
        """How far a running trial is: `stage`, `epoch` (from 1) of `epochs` or `batch` of `batches`, and metrics by name."""
        with self._lock:
            if trial in self._running:
                self._running[trial].told = time.monotonic()
                self._running[trial].take(line)

    def trial_left(self, trial: str) -> None:
        """A trial does not run any more and has no outcome: it will be begun again."""
        with self._lock:
            self._running.pop(trial, None)

    def trial_ended(self, record: Record, objective: float | None) -> None:
        """A trial has its record; a second one of the same trial (a retry) replaces the first."""
        with self._lock:
            running = self._running.pop(record.trial, None)
            used = sum(seconds.used for seconds in record.seconds.values())
            finished = _Finished(
                name=running.name if running else record.trial[:8],
                label=running.label if running else _label(record.parameters, record.row, record.seed),
                outcome=record.outcome,
                reused=record.outcome == "complete" and (running is None or used == 0),
                objective=objective if objective is not None and math.isfinite(objective) else None,
                seconds=time.monotonic() - running.begin if running else used,
                saved=sum(seconds.saved for seconds in record.seconds.values()),
                reason=record.reason,
            )
            self._outcomes[record.trial] = record.outcome
            self._finished.append(finished)
            if finished.reused:
                self._reused.add(record.trial)
            elif record.outcome == "complete":
                self._computed_seconds.append(finished.seconds)
            line = self._finished_line(finished)
        if not self._live or record.outcome == "failed":
            self._line(line, style="red" if record.outcome == "failed" else "")

    def configuration_settled(self, parameters: Mapping[str, Any], row: str | None, objective: float) -> None:
        """All seeds of a configuration have ended, with this mean over those that completed."""
        with self._lock:
            if self._best is None or (objective > self._best[0]) == (self._direction == "maximize"):
                self._best = objective, _label(parameters, row)

    def total_changed(self, total: int | None) -> None:
        with self._lock:
            self._total = total

    def note(self, message: str) -> None:
        """Show a warning that stays on the screen."""
        self._note = message
        self._line(f"note: {message}", style="yellow")

    def sign(self) -> dict[str, Any]:
        """What is known now, as the fields of a Sign."""
        now = time.monotonic()
        with self._lock:
            return {
                "total": self._total,
                "ended": Counter(self._outcomes.values()),
                "reused": len(self._reused),
                "running": [
                    {
                        "trial": trial,
                        "label": running.label,
                        "seconds": now - running.begin,
                        "quiet": now - running.told,
                        "node": running.node,
                        "stage": running.stage,
                        **running.at,
                    }
                    for trial, running in self._running.items()
                ],
                "seconds_left": self._seconds_left(),
                "note": self._note,
            }

    def _done(self) -> int:
        return sum(outcome in _ENDED for outcome in self._outcomes.values())

    def _seconds_left(self) -> float | None:
        """Trials not yet begun and the rest of those running, at the mean time of a computed trial, side by side."""
        if self._total is None or not self._computed_seconds:
            return None
        mean = sum(self._computed_seconds) / len(self._computed_seconds)
        now = time.monotonic()
        waiting = max(self._total - self._done() - len(self._running), 0)
        rest = sum(max(mean - (now - running.begin), 0.0) for running in self._running.values())
        return (waiting * mean + rest) / self._most_at_once

    def _counts(self) -> str:
        counts = [f"{self._done()}/{self._total} done" if self._total is not None else f"{self._done()} done"]
        outcomes = list(self._outcomes.values())
        counts += [f"{n} {name}" for name in ("pruned", "failed", "interrupted") if (n := outcomes.count(name))]
        if self._reused:
            counts.append(f"{len(self._reused)} reused")
        if self._running:
            counts.append(f"{len(self._running)} running")
        counts.append(f"{duration(time.monotonic() - self._begin)} elapsed")
        left = self._seconds_left()
        if left is not None and self._running:
            counts.append(f"about {duration(left)} left")
        return ", ".join(counts)

    def _line(self, text: str, style: str = "") -> None:
        """Print a line that stays. Not to be called with the lock held: Rich holds its own while it asks for the view."""
        self._last_line = time.monotonic()
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS / 10):
            if time.monotonic() - self._last_line >= HEARTBEAT_SECONDS:
                with self._lock:
                    counts = self._counts()
                self._line(counts)

    def _result(self, finished: _Finished) -> str:
        if finished.outcome == "complete" and finished.objective is not None:
            return shown(self._objective, finished.objective)
        return ""

    def _finished_line(self, finished: _Finished) -> str:
        position = f"[{self._done()}/{self._total}]" if self._total is not None else f"[{self._done()}]"
        parts = [f"{position} {finished.title}", finished.name, finished.label]
        if result := self._result(finished):
            parts.append(f"{self._objective} {result}")
        parts += [_times(finished), finished.reason or ""]
        return "  ".join(part for part in parts if part)

    def _view(self) -> RenderableType:
        with self._lock:
            parts: list[RenderableType] = [
                Text.assemble((self._sweep, "bold"), "  ", (self._where, "dim"), no_wrap=True, overflow="ellipsis"),
                self._bar(),
                Text(self._counts()),
            ]
            if self._running:
                parts += [Text(), self._running_table()]
            if self._finished:
                parts += [Text(), self._finished_table()]
            if self._best:
                best = Text("best  ", style="bold", no_wrap=True, overflow="ellipsis")
                name = f"{self._objective} " if self._console.width >= _WIDE else ""
                value, label = self._best
                best.append(f"{name}{shown(self._objective, value)}", style="bold green")
                parts.append(best.append(f"  {label}", style="not bold"))
            return Group(*parts)

    def _bar(self) -> RenderableType:
        bar = Table.grid(expand=True)
        bar.add_row(ProgressBar(total=self._total, completed=self._done(), pulse=self._total is None))
        return bar

    def _running_table(self) -> RenderableType:
        wide = self._console.width >= _WIDE
        shown = self._that_fit(self._console.width - (56 if wide else 36), self._console.height - 10 - FINISHED_SHOWN)
        table = _table(header=True)
        if wide:
            table.add_column("trial", no_wrap=True, overflow="ellipsis", max_width=14)
        table.add_column("running", ratio=1)
        table.add_column("stage", no_wrap=True)
        table.add_column("at", justify="right", no_wrap=True)
        table.add_column("loss", justify="right", no_wrap=True)
        table.add_column("accuracy", justify="right", no_wrap=True)
        for running in list(self._running.values())[:shown]:
            metrics = running.metrics
            stage, epoch = running.stage or "", how_far(running.at)
            loss, accuracy = _latest_loss(stage, metrics), _latest_accuracy(stage, metrics)
            cells = [running.label, stage or "starting", epoch, loss, accuracy]
            table.add_row(*map(Text, [running.name, *cells] if wide else cells))
        if (hidden := len(self._running) - shown) > 0:
            return Group(table, Text(f"and {hidden} more", style="dim"))
        return table

    def _that_fit(self, width: int, height: int) -> int:
        """How many running trials have room when their labels are wrapped at `width`; at least one."""
        lines = itertools.accumulate(math.ceil(len(running.label) / max(width, 1)) for running in self._running.values())
        return max(sum(end <= height for end in lines), 1)

    def _finished_table(self) -> RenderableType:
        wide = self._console.width >= _WIDE
        table = _table(header=False)
        table.add_column(no_wrap=True)
        if wide:
            table.add_column(no_wrap=True, overflow="ellipsis", max_width=14)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for finished in self._finished:
            title = Text(finished.title, style=_STYLES[finished.outcome])
            cells = [Text(finished.label), Text(self._result(finished)), Text(_times(finished))]
            table.add_row(title, *([Text(finished.name)] if wide else []), *cells)
        return table


def _table(header: bool) -> Table:
    return Table(box=None, expand=True, show_header=header, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))


def _label(parameters: Mapping[str, Any], row: str | None, seed: int | None = None) -> str:
    """The paper's row, if it is one, and the parameters by the last parts of their names, less the words all end with; and the
    seed, of a trial."""
    names = [name.rsplit(".", 1)[-1].split("_") for name in parameters]
    while len(names) > 1 and len({words[-1] for words in names}) == 1 and all(len(words) > 1 for words in names):
        names = [words[:-1] for words in names]
    values = [f"{'_'.join(words)}={_compact(value)}" for words, value in zip(names, parameters.values(), strict=True)]
    return " ".join([*([f"({row})"] if row else []), *values, *([] if seed is None else [f"seed={seed}"])])


def _compact(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def shown(name: str, value: float) -> str:
    """A metric for people: accuracies in percent with one decimal, all else with three significant digits."""
    return f"{100 * value:.1f}%" if is_fraction(name) else f"{value:.3g}"


def _latest_loss(stage: str, metrics: Mapping[str, Any]) -> str:
    kind, several, dataset = stage.partition("/")
    value = metrics.get(f"{kind}/loss{several}{dataset}")
    return shown("loss", value) if isinstance(value, float) else ""


def _latest_accuracy(stage: str, metrics: Mapping[str, Any]) -> str:
    """The stage's accuracy, on validation clips where it has one."""
    kind = stage.partition("/")[0]
    names = [name for name in metrics if name.startswith(f"{kind}/") and ("top1" in name or "accuracy" in name)]
    if not names:
        return ""
    name = next((name for name in names if name.startswith(f"{kind}/val_")), names[0])
    return shown(name, metrics[name])


def _times(finished: _Finished) -> str:
    if not finished.reused:
        return duration(finished.seconds)
    return f"saved {duration(finished.saved)}" if finished.saved else ""


def how_far(at: Mapping[str, int]) -> str:
    """Of a stage that is in epoch or batch so and so of so many: `3/10`, `3/10 +25%` within the next epoch, `12/40`."""
    within = f"{at['batch']}/{at['batches']}" if {"batch", "batches"} <= at.keys() else ""
    if not {"epoch", "epochs"} <= at.keys():
        return within
    share = f" +{100 * at['batch'] // max(at['batches'], 1)}%" if within else ""
    return f"{at['epoch']}/{at['epochs']}{share}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
