"""Eight processes append to one ledger at once, and second drivers of a running sweep are started.

Rounds are appends of each writer; of second drivers there is one in forty rounds, each while a first one runs, which is then
killed with -9: the next one must not be kept out by the dead.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.faults import forked, sweeps
from benchmarks.faults.figure import Figure, command
from harness.driver import LOCK_FILE
from harness.ledger import FILE_NAME, Ledger, Record, read_records

ROUNDS, SHORT = 400, 20
WRITERS = 8
ROUNDS_PER_DRIVER = 40
REFUSED_SECONDS = 1.0
SECONDS = 600.0
RECORD = Record(
    trial="",
    index=0,
    row=None,
    space="a space",
    preset="demo",
    parameters={"finetune.epochs": 1},
    settings={f"group.setting_{number}": number for number in range(100)},
    data={},
    seed=0,
    stages={},
    metrics={f"finetune/metric_{number}": number / 7 for number in range(50)},
    seconds={},
    outcome="complete",
    reason=None,
    versions={},
    command="",
)
"""Of the size that records of a sweep have, some 4 kB."""


def lost_records(directory: Path, appends: int) -> int:
    """How many of the records that eight processes appended at once are not there once, as they were."""

    def write(writer: int) -> int:
        ledger = Ledger(directory)
        for number in range(appends):
            ledger.append(_record(writer, number))
        return 0

    children = [
        forked.start(lambda writer=writer: write(writer), directory / f"output{writer}")  # type: ignore[misc]
        for writer in range(WRITERS)
    ]
    for writer, child in enumerate(children):
        code = forked.wait(child, SECONDS)
        if code is None:
            code = forked.kill(child)
        if code:
            print(f"writer {writer} ended with {code}: {(directory / f'output{writer}').read_text()}", flush=True)
    found = Counter(map(_content, read_records(directory / FILE_NAME)))
    return sum(found[_content(_record(writer, number))] != 1 for writer in range(WRITERS) for number in range(appends))


def _record(writer: int, number: int) -> Record:
    return RECORD.model_copy(update={"trial": f"{writer}-{number}", "index": number, "seed": writer})


def _content(record: Record) -> str:
    return json.dumps(record.model_dump(exclude={"schema_version"}), sort_keys=True)


def second_driver(directory: Path) -> tuple[float, str]:
    """Seconds until a second command of a running sweep had ended, and what was wrong with how, or nothing."""
    runs, output = directory / "runs", directory / "output"
    lock = runs / sweeps.NAME / LOCK_FILE
    first = forked.start(sweeps.here(sweeps.words(runs)), output)
    try:
        end = time.monotonic() + sweeps.SECONDS
        while not (lock.exists() and lock.stat().st_size) and time.monotonic() < end:
            time.sleep(forked.POLL_SECONDS)
        second = sweeps.sweep(sweeps.words(runs), directory / "second")
    finally:
        forked.kill(first)
    said = " ".join(second.said.split())
    if second.code != 2 or f"is being run by process {first} on " not in said:
        return second.seconds, f"exit code {second.code}: {said}"
    third = sweeps.sweep(sweeps.words(runs), output)
    return second.seconds, "" if third.code == 0 else f"after the first was killed, exit code {third.code}: {third.said}"


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: appends of each writer."""
    sweeps.prepare()
    typed = command("appends", rounds, seed)
    with tempfile.TemporaryDirectory(prefix="auxgraph-appends-") as scratch:
        lost = lost_records(Path(scratch), rounds)
    print(f"{lost} records lost", flush=True)
    times, wrong = [], 0
    for _ in range(max(1, rounds // ROUNDS_PER_DRIVER)):
        with tempfile.TemporaryDirectory(prefix="auxgraph-drivers-") as scratch:
            seconds, problem = second_driver(Path(scratch))
        times.append(seconds)
        if problem:
            wrong += 1
            print(problem, flush=True)
    in_time = not wrong and max(times) <= REFUSED_SECONDS
    return [
        Figure(f"records lost by {WRITERS} writers x {rounds} appends", f"{lost}", "0", lost == 0, typed),
        Figure(
            "a second driver of a running sweep, from when it has imported what it needs",
            f"{len(times) - wrong} of {len(times)} refused with the name of the first, within {max(times):.2f} s",
            "refused within 1 s",
            in_time,
            typed,
        ),
    ]
