"""Who watches a sweep in a process of its own: the sweep never waits for it and never fails with it.

`Listener` is the sweep's side: it puts JSON lines into a queue that a thread writes to the child's standard input. The child
(`serve`) answers with JSON lines of its own when something changes: a run finished, stopped. When its input ends, even because
the sweep was killed, it finishes what is open and leaves. One that is killed is replaced, and the next one is told again what
runs that are not finished had been told. Imports no Ray, no Optuna, no W&B.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

MOST_LIVES = 4
"""How many processes a sweep's runs are given, should they be killed."""
LOG_NAME = "tracking.log"
MINIMUM_FREE_BYTES = 1 << 20

Told = Callable[[str], None]
"""Gets one sentence for each thing that goes wrong, from whatever thread notices it."""


class Listener:
    """No method blocks, except `wait`, and none raises because of what happens to the child.

    title: what people call it. module: what the child runs, which ends in `serve`. place: its directory in that of the sweep.
    """

    title: ClassVar[str]
    module: ClassVar[str]
    place: ClassVar[str]
    environment: ClassVar[Mapping[str, str]] = {}
    """Of the child, where the sweep's own has no other value."""
    hidden: ClassVar[tuple[str, ...]] = ()
    """Variables that the child is not to see."""

    def __init__(self, directory: Path, sweep: str, on_warning: Told) -> None:
        self.directory = directory / self.place
        self.sweep = sweep
        self.on_warning = on_warning
        self.ended = False
        self.child: subprocess.Popen[bytes] | None = None
        self.told: dict[str, list[bytes]] = {}
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is to be a child at all."""
        return True

    @property
    def description(self) -> str:
        """One line for people: where the runs are."""
        return f"ended early, {self.directory} has what was written until then" if self.ended else str(self.directory)

    def hello(self) -> dict[str, Any]:
        """What a new child is told first: the arguments of its runs."""
        return {"directory": str(self.directory)}

    def hear(self, event: str, **fields: Any) -> None:
        """What the child says beside that a run is finished or that it stops."""

    @property
    def log_path(self) -> Path:
        return self.directory / LOG_NAME

    def begin(self) -> None:
        """Start the child, if that has not been done."""
        if self.child is not None or self.ended or not self.wanted:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._launch()
        except OSError as error:
            self._end(f"{self.title} is off for this sweep, its files cannot be written: {error}")
            return
        self._reader = threading.Thread(target=self._attend, daemon=True)
        self._reader.start()

    def tell(self, trial: str, **fields: Any) -> None:
        """Something of a trial's run: an `action` and its arguments."""
        line = _as_line({**fields, "trial": trial})
        with self._lock:
            if self.child is not None and not self.ended:
                self.told.setdefault(trial, []).append(line)
                self.lines.put(line)

    def let_go(self) -> None:
        """Nothing more will be told."""
        with self._lock:
            self._closed = True
            self.lines.put(None)

    def wait(self, timeout: float) -> None:
        """Until all is written, at most `timeout` seconds; after that the child ends its work by itself."""
        if self._reader is None:
            return
        self._reader.join(timeout)
        if self._reader.is_alive():
            self.on_warning(f"{self.title} is not done yet: it goes on in the background, see {self.log_path}")

    def _launch(self) -> None:
        """A process, which is first told all that the runs have been told that are not finished. Raises OSError."""
        root = str(Path(__file__).resolve().parents[1])
        environment = {**self.environment, **{k: v for k, v in os.environ.items() if k not in self.hidden}}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with self.log_path.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-P", "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=environment,
                start_new_session=True,
            )
        assert self.child.stdin
        self.lines = queue.SimpleQueue()
        for line in (_as_line(self.hello()), *itertools.chain.from_iterable(self.told.values())):
            self.lines.put(line)
        if self._closed:
            self.lines.put(None)
        threading.Thread(target=self._write, args=(self.child.stdin, self.lines), daemon=True).start()

    @staticmethod
    def _write(pipe: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
        with contextlib.suppress(OSError), pipe:
            for line in iter(lines.get, None):
                while line:
                    line = line[pipe.write(line) :]

    def _attend(self) -> None:
        """Hear what the process says; one that was killed is replaced."""
        for life in itertools.count(1):
            child = self.child
            assert child and child.stdout
            for line in child.stdout:
                self._hear(**json.loads(line))
            code = child.wait()
            if code == 0 or self.ended:
                return
            if code > 0 or life == MOST_LIVES:
                self._end(f"The {self.title} process ended (exit code {code}), the sweep goes on without: {self.log_path}")
                return
            try:
                with self._lock:
                    self._launch()
            except OSError as error:
                self._end(f"{self.title} is off for the rest of this sweep, its files cannot be written: {error}")
                return
            self.on_warning(f"The {self.title} process was killed (signal {-code}): another one goes on with its runs")

    def _hear(self, event: str, **fields: Any) -> None:
        if event == "finished":
            with self._lock:
                self.told.pop(fields["trial"], None)
        elif event == "stopped":
            self._end(f"{self.title} is off for the rest of this sweep ({fields['reason']}): {self.log_path}")
        else:
            self.hear(event, **fields)

    def _end(self, warning: str) -> None:
        self.ended = True
        self.lines.put(None)
        self.on_warning(warning)


def _as_line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, default=_plain, skipkeys=True).encode() + b"\n"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


class Runs(Protocol):
    """The child's side: the runs of a sweep, by trial."""

    def do(self, action: str, **fields: Any) -> None:
        """Carry out what was told of a trial."""

    def finish_all(self) -> None:
        """End the runs that the sweep left open, as neither failed nor complete."""


def serve(open_runs: Callable[..., Runs], reason: Callable[[Exception], str]) -> int:
    """Do what the lines on standard input say until it ends; returns the exit code.

    open_runs: given `tell`, which says an event to the sweep, and what `hello` says. reason: an error in words.
    """
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.raiseExceptions = False

    def tell(event: str, **fields: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"event": event, **fields}), file=events)

    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        runs = open_runs(tell, **json.loads(lines.get() or b"{}"))
        for line in iter(lines.get, None):
            runs.do(**json.loads(line))
        runs.finish_all()
    except Exception as error:
        tell("stopped", reason=reason(error))
        return 1
    return 0


def require_space(directory: str) -> None:
    """Raises OSError where there is next to none left: what writes may lose data on a full disk without a word."""
    if shutil.disk_usage(directory).free < MINIMUM_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), directory)
