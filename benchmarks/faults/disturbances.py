"""A real sweep of the demo is disturbed, and must end as an undisturbed one, with the documented exit codes.

A worker is stopped for longer than its lease lasts, while a second sweep wants the same stages; the command gets SIGTERM, and
SIGHUP, and is started again; nobody reads its output any more; its disk becomes full, and is freed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import real, sweeps
from benchmarks.faults.disks import small_disk
from benchmarks.faults.figure import Figure, NotHere, command
from trainables.store.leases import LEASE_SECONDS

ROUNDS, SHORT = 8, None
TINY = {name: value for name, value in real.LONGER.items() if name != "recipe"}
SPACE = "temperatures"
STOPPED_SECONDS = LEASE_SECONDS + 20
DISK_BYTES = 512 * 2**20
FULL_SECONDS = 10.0
INTERRUPTED = 130


@dataclass(frozen=True)
class Case:
    """Where a disturbed sweep lies, its options, and when it is disturbed: so many seconds after its first training began."""

    runs: Path
    trials: int
    delay: float

    @property
    def options(self) -> tuple[str, ...]:
        return "--trials", str(self.trials), "--concurrency", "2"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the demo; fewer trials than the figure is of are tiny."""
        return {} if self.trials >= ROUNDS else TINY

    def words(self, name: str = sweeps.NAME) -> list[str]:
        return ["--space", SPACE, *sweeps.words(self.runs, *self.options, "--name", name, settings=self.settings)[2:]]

    def started(self, **options: Any) -> contextlib.AbstractContextManager[real.Command]:
        return real.started(self.runs, words=self.words(), **options)

    def until_due(self, running: real.Command) -> None:
        real.wait(running, lambda: real.in_training(self.runs))
        due = time.monotonic() + self.delay
        real.wait(running, lambda: time.monotonic() > due)

    def to_its_end(self) -> int | None:
        """The exit code of the command."""
        with self.started() as running:
            real.wait(running)
            return running.ended()


def stopped_worker(case: Case) -> list[str]:
    with case.started() as running:
        case.until_due(running)
        workers = running.look().get("worker", [])
        if not workers or not workers[0].kill(signal.SIGSTOP):
            return ["there was no worker to be stopped"]
        try:
            with real.started(case.runs.with_name("second"), words=case.words("second")) as second:
                end = time.monotonic() + STOPPED_SECONDS
                real.wait(second, lambda: time.monotonic() > end)
                workers[0].kill(signal.SIGCONT)
                real.wait(second)
                real.wait(running)
                return _unlike(0, running.ended()) + [f"second sweep: {said}" for said in _unlike(0, second.ended())]
        finally:
            workers[0].kill(signal.SIGCONT)


def _signalled(number: signal.Signals, case: Case) -> list[str]:
    with case.started() as running:
        case.until_due(running)
        running.popen.send_signal(number)
        real.wait(running)
        left = running.left()
        problems = _unlike(INTERRUPTED, running.ended()) + [f"lives on: {one.line[:80]}" for one in left]
    return problems + _unlike(0, case.to_its_end())


def sigterm(case: Case) -> list[str]:
    return _signalled(signal.SIGTERM, case)


def sighup(case: Case) -> list[str]:
    return _signalled(signal.SIGHUP, case)


def closed_output(case: Case) -> list[str]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as writer, case.started(output=writer) as running:
        writer.close()
        os.set_blocking(reader.fileno(), False)
        case.until_due(running)
        reader.close()
        real.wait(running)
        return _unlike(0, running.ended())


def full_disk(case: Case) -> list[str]:
    """Of the runs alone: what the command says, and temporary files, lie elsewhere."""
    with small_disk(case.runs, DISK_BYTES), case.started() as running:
        case.until_due(running)
        filler = case.runs / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
        real.wait(running, lambda: "paused" in running.said())
        paused = "paused" in running.said()
        due = time.monotonic() + FULL_SECONDS
        real.wait(running, lambda: time.monotonic() > due)
        filler.unlink()
        real.wait(running)
        problems = _unlike(0, running.ended()) + ([] if paused else ["no word of the full disk"])
        return problems + _compared(case)


def _unlike(expected: int, code: int | None) -> list[str]:
    return [] if code == expected else [f"exit code {code} instead of {expected}"]


expected: dict[str, bytes] = {}
"""Of the undisturbed sweep."""


def _compared(case: Case) -> list[str]:
    return list(sweeps.problems(case.runs, expected))


CASES: dict[str, Callable[[Case], list[str]]] = {
    "SIGSTOP past the lease": stopped_worker,
    "SIGTERM": sigterm,
    "SIGHUP": sighup,
    "closed stdout": closed_output,
    "full disk, then freed": full_disk,
}


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: trials of the sweep; fewer than the full form's are tiny ones."""
    chance = random.Random(seed)
    fates = {}
    with tempfile.TemporaryDirectory(prefix="ag-", ignore_cleanup_errors=True) as scratch:  # Ray's sockets need short paths
        home = Path(scratch)
        begun = time.monotonic()
        if (code := Case(home / "0" / "runs", rounds, 0).to_its_end()) != 0:
            raise RuntimeError(f"an undisturbed sweep ended with exit code {code}: {(home / '0' / 'runs.txt').read_text()}")
        whole = time.monotonic() - begun
        print(f"undisturbed: {rounds} trials in {whole:.0f} s", flush=True)
        expected.clear()
        expected.update(sweeps.contents(home / "0" / "runs"))
        for number, (name, disturb) in enumerate(CASES.items(), start=1):
            case = Case(home / str(number) / "runs", rounds, chance.uniform(0, whole / 8))
            try:
                problems = disturb(case)
                if (case.runs / "store").exists():  # that of a full disk is gone with the disk
                    problems += _compared(case)
                fates[name] = "equal" if not problems else "**not equal**"
            except NotHere as reason:
                problems = [str(reason)]
                fates[name] = "not run"
            print(f"{name}: {'; '.join(problems) or 'equal'}", flush=True)
    seen = ", ".join(f"{name}: {fate}" for name, fate in fates.items())
    what = f"{', '.join(CASES)}, in a real demo sweep of {rounds} trials"
    met = None if "not run" in fates.values() else set(fates.values()) == {"equal"}
    asked = "equal to an undisturbed sweep, documented exit codes"
    return [Figure(what, seen, asked, met, command("disturbances", rounds, seed))]
