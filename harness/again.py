"""A trial once more, from its record: what it consists of, what has changed since, and whether its numbers come out again.

What a record says of a trial is enough to compute it again but for where its data lie. On a CPU the numbers are the same to the
bit where nothing has changed (docs/guide.md, Determinism); what has changed since is named, as it may explain that they differ.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bookkeeper import worker_versions
from harness.ledger import Record
from harness.request import RequestError
from harness.trained import NotTrained, trials_named
from trainables.data import describe, open_data
from trainables.pipeline import PROTOCOL, Experiment, Made
from trainables.presets import configure
from trainables.runtime import Runtime


@dataclass(frozen=True)
class Compared:
    """A metric as it was recorded and as it came out again; None where it was not. judged: False for what is measured, such as
    seconds, and for what earlier versions did not record."""

    name: str
    recorded: float | None
    again: float | None
    judged: bool = True

    @property
    def difference(self) -> float:
        """Again less recorded; NaN where one of them is not there."""
        return math.nan if self.recorded is None or self.again is None else self.again - self.recorded

    def is_within(self, tolerance: float) -> bool:
        """Whether the difference is at most `tolerance`, of the recorded value where that is above 1; 0: to the bit."""
        if not self.judged:
            return True
        if self.recorded is None or self.again is None:
            return False
        return abs(self.difference) <= tolerance * max(1.0, abs(self.recorded))


def find_record(trial: str, runs_dir: Path) -> tuple[Path, Record]:
    """The complete record of a trial that was written last, and the directory of its sweep. trial: its identity, or how that
    begins, where only one begins so.

    Raises RequestError, LedgerError or OSError.
    """
    try:
        found = trials_named(trial, runs_dir)
    except NotTrained as error:
        raise RequestError(str(error)) from None
    complete = [pair for pair in found if pair[1].outcome == "complete"]
    if not complete:
        sweep, record = found[-1]
        raise RequestError(
            f"trial {record.trial} of sweep '{sweep.name}' is {record.outcome}: there is nothing to compare with "
            f"({record.reason})"
        )
    return max(complete, key=lambda pair: pair[1].ended or "")


def experiment_of(record: Record) -> Experiment:
    """Raises SettingsError for a setting that this version does not know, or takes no more."""
    return Experiment(configure(record.preset, record.settings), record.seed)


def check_data(record: Record, experiment: Experiment, runtime: Runtime) -> None:
    """Raises RequestError where the data are not those of the record, and DataError."""
    problems = []
    for role, videos in open_data(experiment.settings.data, runtime).items():
        then, now = record.data.get(role, {}), describe(videos)
        if then.get("fingerprint") != now["fingerprint"]:
            problems.append(f"{role}: {_said_of(then)} then, {_said_of(now)} now")
    if problems:
        raise RequestError(
            f"the data of trial {record.trial} are not those that it was computed from ({'; '.join(problems)}): "
            "give those with --data, --splits and --stand-in"
        )


def _said_of(data: Mapping[str, Any]) -> str:
    if not data:
        return "nothing"
    parts = ", ".join(f"{data[part]} {part}" for part in ("train", "validation", "test") if part in data)
    return f"{data.get('dataset')} with {parts} videos (fingerprint {data.get('fingerprint')})"


def changes_since(record: Record, made: Mapping[str, Made], runtime: Runtime) -> Iterator[str]:
    """What differs, in words, from when the trial was recorded, and may change numbers. made: its stages as they are now."""
    now = {"protocol": PROTOCOL, **worker_versions(), "device": runtime.device_name()}
    for name, value in now.items():
        then = record.versions.get(name)
        if then != value:
            yield f"{name}: {then or 'not recorded'} then, {value} now"
    for stage, one in made.items():
        then, value = record.code.get(stage), one.code
        if then is None or then.partition(" ")[0] != value.partition(" ")[0]:
            yield f"code of stage {stage}: {then or 'not recorded'} then, {value} now"
    if (node := record.versions.get("node")) != platform.node():
        yield f"machine: {node or 'not recorded'} then, {platform.node()} now; processors of another kind may round otherwise"
    if now["device"] != "cpu":
        yield f"on {now['device']} the same numbers to the bit are not promised from run to run"


def compared(record: Record, metrics: Mapping[str, float], measured: Collection[str]) -> list[Compared]:
    """Every metric, in the record's order, those that it has not at the end. measured: metrics that say what a run took."""
    names = [*record.metrics, *(name for name in metrics if name not in record.metrics)]
    return [
        Compared(name, record.metrics.get(name), metrics.get(name), name in record.metrics and name not in measured)
        for name in names
    ]


def first_difference(then: Mapping[str, Sequence[float]], now: Mapping[str, Sequence[float]]) -> str | None:
    """The earliest epoch after which a metric was another, in words; None where all that both have is the same."""
    found = [
        (epoch, name)
        for name in then.keys() & now.keys()
        for epoch, (one, other) in enumerate(zip(then[name], now[name], strict=False), start=1)
        if one != other
    ]
    if not found:
        return None
    stages = list(dict.fromkeys(name.partition("/")[0] for name in now))
    epoch, name = min(found, key=lambda pair: (stages.index(pair[1].partition("/")[0]), *pair))
    return f"{name} after epoch {epoch}: {then[name][epoch - 1]!r} then, {now[name][epoch - 1]!r} now"
