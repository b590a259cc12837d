"""What a command waits for is said: by whom a stage is held and since when, and that a disk is full, at least once a minute.

Another process holds a stage that the sweep needs, and a full disk lets nothing be written. In the short form all times are
shorter by the same factor, and the figures longer again.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import forked, sweeps
from benchmarks.faults.figure import Figure, command
from benchmarks.faults.io_errors import Failure
from harness import hindrances
from trainables.store import Store, directory

ROUNDS, SHORT = 150, 6
MOST_SECONDS = 60.0
SLACK_SECONDS = 3.0
"""That a machine may need to write a line."""


def _shortened(factor: float) -> None:
    """In the process that waits."""
    directory.FIRST_WORD_SECONDS /= factor
    directory.WORD_SECONDS /= factor
    hindrances.REMIND_SECONDS /= factor


def held_stage(home: Path, whole: Path, seconds: float, factor: float) -> tuple[float, str]:
    """The longest silence while the last stage is held by another process, and what was wrong with what was said."""
    runs = home / "runs"
    shutil.copytree(whole, runs)
    shutil.rmtree(runs / sweeps.NAME)
    last = max(runs.glob("store/*/*/done.json"), key=lambda path: path.stat().st_mtime_ns).parent
    shutil.rmtree(last)

    def hold() -> int:
        with Store(runs / "store").claim(last.parent.name, last.name):
            (home / "held").touch()
            time.sleep(seconds)
        return 0

    holder = forked.start(hold, home / "holder")
    try:
        while not (home / "held").exists():
            time.sleep(forked.POLL_SECONDS)
        silence, said = _silence(runs, home / "output", lambda: _shortened(factor), seconds)
    finally:
        if forked.ended(holder) is None:
            forked.kill(holder)
    who = rf"which process {holder} on \S+ since \d{{4}}-\S+ \S+ is making"
    told = re.search(rf"waiting for {last.parent.name} for \d+ s, {who}", said)
    return silence, "" if told else f"not said who holds it since when: {said}"


def full_disk(home: Path, whole: Path, seconds: float, factor: float) -> tuple[float, str]:
    """The longest silence while a stage cannot be written to the store, and what was wrong with what was said."""
    runs = home / "runs"
    shutil.copytree(whole, runs)
    shutil.rmtree(runs / sweeps.NAME)
    place = runs / "store" / "finetune"  # a store of which nothing can be written is refused at once
    shutil.rmtree(next(place.iterdir()))

    def fill() -> None:
        Failure(place, errno.ENOSPC, 1, True, home).install()
        hindrances.REMIND_SECONDS = 60.0
        _shortened(factor)

    silence, said = _silence(runs, home / "output", fill, seconds, lambda: (home / "repaired").touch())
    return silence, "" if f"paused: cannot write to the store at {place}" in said else f"not said what is full: {said}"


def _silence(
    runs: Path,
    output: Path,
    before: Callable[[], None],
    seconds: float,
    after: Callable[[], None] | None = None,
) -> tuple[float, str]:
    """The longest time without a line in the first seconds of a command, and all that it said. after: is called then."""
    child = forked.start(sweeps.here(sweeps.words(runs), before), output)
    code, size, longest = None, -1, 0.0
    begun = last = time.monotonic()
    try:
        while (code := forked.ended(child)) is None:
            now, there = time.monotonic(), os.stat(output).st_size if output.exists() else 0  # noqa: PTH116
            if there != size:
                size, last = there, now
            if now - begun <= seconds:
                longest = max(longest, now - last)
            elif after is not None:
                after()
                after = None
            time.sleep(forked.POLL_SECONDS)
    finally:
        if code is None:
            forked.kill(child)
    said = " ".join(output.read_text(errors="replace").split())
    return longest, said if code == 0 else f"exit code {code}: {said}"


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: seconds that each wait lasts."""
    sweeps.prepare()
    factor = ROUNDS / rounds
    silences, wrong = {}, False
    with tempfile.TemporaryDirectory(prefix="auxgraph-waits-") as scratch:
        home = Path(scratch)
        sweeps.sweep(sweeps.words(home / "whole"), home / "output")
        for name, wait in (("a stage that another process makes", held_stage), ("a full disk", full_disk)):
            place = home / name.replace(" ", "-")
            place.mkdir()
            silence, problem = wait(place, home / "whole", float(rounds), factor)
            silences[name] = silence * factor
            wrong |= bool(problem)
            print(f"{name}: {silence:.1f} s, times {factor:g}; {problem or 'said'}", flush=True)
    met = not wrong and max(silences.values()) <= MOST_SECONDS + SLACK_SECONDS * factor
    seen = ", ".join(f"{name}: {seconds:.0f} s" for name, seconds in silences.items())
    asked = "60 s until a line says what is waited for, held by whom, since when"
    return [Figure("longest silent wait", seen, asked, met, command("waits", rounds, seed))]
