"""TensorBoard's event files for every trial of a sweep, a folder each, written by a process of its own.

A metric's step is the epoch of its stage, so that curves of different recipes lie over each other. A run that is continued is
written anew: what it had before is told again. tensorboardX, which imports torch, is imported by that process alone.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.listener import Listener, require_space, serve
from harness.media import Confusion, Picture, heat, media_of

WRITER = "tensorboardX"
NEEDED = "pip install 'auxgraph[tensorboard]'"


class EventFiles(Listener):
    """Event files of a sweep."""

    title, module, place = "TensorBoard", "harness.event_files", "tensorboard"

    @staticmethod
    def can_be_written() -> bool:
        """Whether what writes them is installed."""
        return importlib.util.find_spec(WRITER) is not None

    @property
    def description(self) -> str:
        """One line for people: where they are, and how to look at them."""
        where = super().description
        return where if self.ended else f"{where} (look at it with: tensorboard --logdir {shlex.quote(str(self.directory))})"


def folder(name: str, trial: str) -> str:
    """Of a trial's run, which TensorBoard shows as its name: what it is called, as far as a path can say it, and the trial."""
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[:80]
    return "-".join(filter(None, [readable, trial]))


class _Run:
    """A folder with one file of events, each of which is on disk when it is told."""

    def __init__(self, place: Path) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.known: set[str] = set()
        self.compared: dict[str, Any] = {}
        self._file = EventsWriter(str(place / "events"))

    def write(self, summaries: Iterable[Any], step: int = 0) -> None:
        from tensorboardX.proto.event_pb2 import Event

        for summary in summaries:
            self._file.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Runs:
    """The child's side: the runs that are open, by trial."""

    def __init__(self, tell: Callable[..., None], directory: str) -> None:
        from tensorboardX import summary

        self._summary = summary
        self._tell = tell
        self._directory = Path(directory)
        self._open: dict[str, _Run] = {}

    def do(self, action: str, **fields: Any) -> None:
        """Carry out `start`, `log` or `finish`."""
        require_space(str(self._directory))
        getattr(self, action)(**fields)

    def start(self, trial: str, name: str, config: dict[str, Any], tags: list[str], compared: list[str]) -> None:
        if trial not in self._open:
            self._open[trial] = _Run(self._directory / folder(name, trial))
        run = self._open[trial]
        run.compared = {name: config[name] for name in compared}
        run.write([self._summary.text("config", _markdown(["setting", "value"], sorted(config.items())))])

    def log(self, trial: str, step: int, along: str, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch of a stage, which is the step of its metrics."""
        if run := self._open.get(trial):
            run.write((self._summary.scalar(name, value) for name, value in metrics.items()), epoch)
            run.known |= metrics.keys()

    def tables(self, trial: str, tables: dict[str, dict[str, Any]]) -> None:
        if run := self._open.get(trial):
            run.write(self._summary.text(name, _markdown(table["columns"], table["rows"])) for name, table in tables.items())

    def finish(
        self, trial: str, outcome: str, summary: dict[str, Any], config: dict[str, Any], artifacts: dict[str, str]
    ) -> None:
        """Metrics that no epoch had, those of test videos among them, have step 0: by them trials are compared."""
        if run := self._open.pop(trial, None):
            numbers = {name: value for name, value in summary.items() if isinstance(value, int | float)}
            measured = {name: value for name, value in numbers.items() if name not in run.known}
            run.write(self._summary.scalar(name, value) for name, value in measured.items())
            if run.compared:
                run.write(self._summary.hparams(_plain(run.compared), measured))
            for one in media_of(artifacts):
                self._show(run, one)
            run.write(self._summary.text(name, _escaped(value)) for name, value in {**config, "outcome": outcome}.items())
            run.close()
            self._tell("finished", trial=trial)

    def _show(self, run: _Run, one: Picture | Confusion) -> None:
        if isinstance(one, Picture):
            pixels, said = one.pixels, one.caption
        else:
            pixels, said = heat(one), "rows: classes; columns: what test videos were taken for; white: all of a class"
        run.write([self._summary.image(one.name, pixels, dataformats="HWC"), self._summary.text(one.name, _escaped(said))])

    def finish_all(self) -> None:
        """End the runs that the sweep left open."""
        for trial in list(self._open):
            self.do("finish", trial=trial, outcome="interrupted", summary={}, config={}, artifacts={})


def _markdown(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(value: Any) -> str:
    return re.sub(r"([\\|<>*_`])", r"\\\1", " ".join(str(value).split()))


def _plain(config: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """What TensorBoard compares: all but numbers and truths as text."""
    return {name: value if isinstance(value, bool | int | float) else str(value) for name, value in config.items()}


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(serve(_Runs, _reason))
