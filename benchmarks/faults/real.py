"""Sweeps as users run them, by Ray, and the processes that belong to them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.faults import sweeps
from harness.wandb_runs import run_id

ROOT = Path(__file__).resolve().parents[2]
LONGER: dict[str, Any] = {**sweeps.SETTINGS, "auxskd.epochs": 8, "pretext.epochs": 12, "finetune.epochs": 12}
"""Trials of several seconds."""
ALL_ROWS = {name: value for name, value in LONGER.items() if name != "recipe"}
"""For the three trials of the space."""
SECONDS = 600.0
"""After which a command counts as one that never ends."""
POLL_SECONDS = 0.1
GONE_SECONDS = 90.0
"""Within which everything that a command has started has ended, once it has itself."""
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray/dashboard/agent.py", "ray/_private/runtime_env/agent/main.py")


@dataclass(frozen=True)
class Process:
    """A process of the system, told from a later one with the same number by when it started, in clock ticks."""

    pid: int
    started: int
    parent: int
    line: str = field(compare=False)

    def is_idle_agent(self) -> bool:
        """Whether it is one of Ray's that computes and writes nothing, and ends a minute after the cluster that it is of."""
        now = process(self.pid)  # it was first seen before it had its own line
        return now is not None and any(word in now.line for word in AGENTS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """Whether it was still there to get the signal."""
        if (now := process(self.pid)) is None or now.started != self.started:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def lives(self) -> bool:
        now = process(self.pid)
        return now is not None and now.started == self.started


def process(pid: int) -> Process | None:
    """The process with a number; None for one that has ended, be it that nobody has asked for its exit code yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (OSError, ValueError):
        return None
    return None if stat[0] in "ZX" else Process(pid, int(stat[19]), int(stat[1]), line)


def below(pid: int) -> list[Process]:
    """Everything that a process has started, directly or not, as far as its parents live."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    everything = [one for one in map(process, numbers) if one is not None]
    found: list[Process] = []
    generation = {pid}
    while generation:
        children = [one for one in everything if one.parent in generation]
        found += children
        generation = {one.pid for one in children}
    return found


def role(one: Process, trials: set[int]) -> str | None:
    """What a process below a command is for. trials: the numbers of those that run trials."""
    if one.line.startswith("ray::") and one.pid in trials:
        return "worker"
    if one.parent in trials:
        return "loader"
    words = {"raylet": "/raylet/raylet ", "gcs_server": "gcs_server ", "W&B": "harness.wandb_runs"}
    return next((name for name, word in words.items() if word in one.line), None)


@dataclass
class Command:
    """A sweep command that runs. seen: what it has started until now; to be looked after with `look`."""

    popen: subprocess.Popen[bytes]
    output: Path
    seen: set[Process] = field(default_factory=set)

    def look(self) -> dict[str, list[Process]]:
        """Its processes now, by role, itself as `driver`."""
        now = below(self.popen.pid)
        self.seen |= set(now)
        trials = {one.pid for one in now if one.line.startswith("ray::ImplicitFunc")}
        # a loader is a fork of a worker, and called like one
        trials -= {one.pid for one in now if one.parent in trials}
        found: dict[str, list[Process]] = {}
        if (own := process(self.popen.pid)) is not None:
            found["driver"] = [own]
            self.seen.add(own)
        for one in now:
            if (name := role(one, trials)) is not None:
                found.setdefault(name, []).append(one)
        return found

    def ended(self) -> int | None:
        return self.popen.poll()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def left(self, seconds: float = GONE_SECONDS) -> list[Process]:
        """What it has started and still runs, so long after."""
        end = time.monotonic() + seconds
        while (living := [one for one in self.seen if one.lives()]) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return living

    def close(self) -> None:
        """End it and all that it has started."""
        if self.ended() is None:
            self.look()
            self.popen.kill()
        self.popen.wait()
        for one in self.seen:
            one.kill()


@contextlib.contextmanager
def started(
    runs: Path,
    *options: str,
    settings: Mapping[str, Any] = ALL_ROWS,
    words: Sequence[str] = (),
    output: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Command]:
    """A command; whatever is left of it ends with the block. Its temporary files are below `tmp` beside the runs directory.

    words: instead of those of a tiny sweep. output: instead of a file of its own beside the runs directory. environment: what
    it has beside the usual.
    """
    scratch = runs.parent / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    said = runs.parent / f"{runs.name}.txt"
    names = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "RAY_", "XDG_"))}
    own = {"TMPDIR": str(scratch), "HOME": str(runs.parent), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    arguments = words or sweeps.words(runs, *options, settings=settings)
    with said.open("wb") as file:
        popen = subprocess.Popen(
            [sys.executable, "harness/sweep.py", *arguments],
            cwd=ROOT,
            env={**names, **own, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output or file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    command = Command(popen, said)
    try:
        yield command
    finally:
        command.close()


def wait(command: Command, until: Callable[[], Any] = lambda: None, seconds: float = SECONDS) -> Any:
    """What `until` gives as soon as it gives something; None when the command has ended before. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while command.ended() is None:
        command.look()
        if found := until():
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"it has not happened after {seconds:g} s:\n{command.said()}")
        time.sleep(POLL_SECONDS)
    return None


def in_training(runs: Path) -> bool:
    """Whether a stage has saved a state."""
    return any(runs.glob("store/*/.*.work/*/state.json"))


def newest(runs: Path) -> float:
    """When anything was last written to the store or the ledger, in seconds since 1970."""
    times = [0.0]
    for path in (*runs.glob("store/*/*/*"), *runs.glob("*/ledger.jsonl")):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


class Published:
    """How often each artifact was published, as far as one that was replaced was there at a look."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.seen: dict[str, set[tuple[int, int]]] = {}

    def look(self) -> None:
        for path in self.runs.glob("store/[!.]*/[!.]*/done.json"):
            with contextlib.suppress(OSError):
                status = path.stat()
                self.seen.setdefault(str(path.parent.relative_to(self.runs)), set()).add((status.st_ino, status.st_mtime_ns))

    def several_times(self) -> list[str]:
        aside = [str(path.relative_to(self.runs)) for path in self.runs.glob("store/*/.damaged-*")]
        return [f"{name} was published {len(times)} times" for name, times in self.seen.items() if len(times) > 1] + aside


def wandb_runs(runs: Path, name: str = sweeps.NAME) -> set[str]:
    """The ids of the runs of a sweep's trials; that of the sweep is written when its last trials end, by whoever runs them."""
    found = {path.name.split("-", 3)[-1] for path in (runs / name / "wandb").glob("offline-run-*")}
    return found - {run_id(name, "")}
