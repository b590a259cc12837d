"""The live console of a sweep: what runs, how far it is, what came out, what is best so far, how long it will take.

On a terminal one view (harness/view.py) that is redrawn at most four times a second; elsewhere one plain line per trial and a
heartbeat. Imports no Ray, no Optuna, no W&B.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from harness.forecast import Begun, Forecast
from harness.ledger import Outcome, Record
from harness.view import MOST_FINISHED, Finished, Running, Shown, duration, label_of, shown_metric, view

HEARTBEAT_SECONDS = 30.0
_ENDED: tuple[Outcome, ...] = ("complete", "pruned", "failed")


class Progress:
    """Shows a sweep of `total` trials (None: not known), judged by the metric `objective`: best is the configuration whose mean
    over its seeds is, in `direction`.

    forecast: how long it will take, by its plan; without one that is told from the first trial that was computed on.

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
        forecast: Forecast | None = None,
    ) -> None:
        self._sweep = sweep
        self._total = total
        self._objective = objective
        self._where = where
        self._console = console or Console()
        self._direction = direction
        self._forecast = forecast
        self._lock = threading.RLock()
        self._begin = time.monotonic()
        self._last_line = self._begin
        self._running: dict[str, Running] = {}
        self._most_at_once = 1
        self._outcomes: dict[str, Outcome] = {}
        self._reused: set[str] = set()
        self._computed_seconds: list[float] = []
        self._finished: deque[Finished] = deque(maxlen=MOST_FINISHED)
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
            self._running[trial] = Running(name, label_of(parameters, row, seed), now, now, now)
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
                self._running[trial].take(line, time.monotonic())

    def stage_made(self, trial: str, stage: str, key: str, used: float) -> None:
        """A running trial has a stage, on which it spent `used` seconds; 0: it was found."""
        with self._lock:
            if trial in self._running:
                self._running[trial].take({}, time.monotonic())
            if self._forecast is not None:
                self._forecast.made(stage.partition("/")[0], key, used)

    def stages_dropped(self, stages: Collection[tuple[str, str]]) -> None:
        """Stages, by kind and key, will not be made."""
        with self._lock:
            if self._forecast is not None:
                self._forecast.dropped(stages)

    def expected(self, stages: Collection[tuple[str, str]]) -> float:
        """Seconds that a trial which makes these stages, by kind and key, will take: by the forecast, else as computed ones
        did; 0 where nothing is known."""
        with self._lock:
            if self._forecast is not None:
                return self._forecast.of(stages)
            return sum(self._computed_seconds) / len(self._computed_seconds) if self._computed_seconds else 0.0

    def trial_left(self, trial: str) -> None:
        """A trial does not run any more and has no outcome: it will be begun again."""
        with self._lock:
            self._running.pop(trial, None)

    def trial_ended(self, record: Record, objective: float | None) -> None:
        """A trial has its record; a second one of the same trial (a retry) replaces the first."""
        with self._lock:
            running = self._running.pop(record.trial, None)
            used = sum(seconds.used for seconds in record.seconds.values())
            has_result = record.outcome == "complete" and objective is not None and math.isfinite(objective)
            finished = Finished(
                name=running.name if running else f"#{record.index}",
                label=running.label if running else label_of(record.parameters, record.row, record.seed),
                outcome=record.outcome,
                reused=record.outcome == "complete" and (running is None or used == 0),
                result=shown_metric(self._objective, objective) if has_result and objective is not None else "",
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
                self._best = objective, label_of(parameters, row)

    def judged_anew(self) -> None:
        """What is best is told by configurations that settle from here on."""
        with self._lock:
            self._best = None

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
                "ended": dict(self._outcomes),
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
        """By the forecast; else trials not yet begun and the rest of those running, at the mean time of a computed trial, side
        by side."""
        now = time.monotonic()
        if self._total is not None and self._done() >= self._total:
            return None
        if self._forecast is not None and self._total is not None:
            begun = [Begun(one.kind, now - one.stage_begin, one.share) for one in self._running.values() if one.stage]
            return self._forecast.left(begun, self._total - self._done())
        if self._total is None or not self._computed_seconds:
            return None
        mean = sum(self._computed_seconds) / len(self._computed_seconds)
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
        if left is not None and (self._running or self._forecast is not None):
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

    def _finished_line(self, finished: Finished) -> str:
        position = f"[{self._done()}/{self._total}]" if self._total is not None else f"[{self._done()}]"
        parts = [f"{position} {finished.title}", finished.name, finished.label]
        if finished.result:
            parts.append(f"{self._objective} {finished.result}")
        parts += [finished.times, finished.reason or ""]
        return "  ".join(part for part in parts if part)

    def _view(self) -> RenderableType:
        with self._lock:
            best = None
            if self._best is not None:
                value, label = self._best
                best = label, shown_metric(self._objective, value)
            shown = Shown(
                sweep=self._sweep,
                where=self._where,
                objective=self._objective,
                counts=self._counts(),
                done=self._done(),
                total=self._total,
                running=list(self._running.values()),
                finished=list(self._finished),
                best=best,
                now=time.monotonic(),
            )
            return view(shown, self._console.width, self._console.height)
