"""The n-th call that reads or writes fails: a disk with an error, a full one, one that has become read-only.

In the store, the ledger, the cache and sweep.json of a tiny sweep, once, or from then on until it is repaired. A line must say
so within 10 s, no trial may be recorded as failed, and after the repair the same command must complete as if nothing had
happened. Calls fail in the process of the command, before they reach the system: whatever opens, lists, renames, links, makes,
removes or flushes, and reading and writing tensors.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from benchmarks.faults import forked, sweeps
from benchmarks.faults.figure import Figure, command
from harness import hindrances
from trainables.store import artifact, state, workplace

ROUNDS, SHORT = 200, 2
SAID_SECONDS = 10.0
LONGEST = 2000
"""Characters of what a command said that are shown."""
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
PLACES = {
    "store": "store",
    "ledger": f"{sweeps.NAME}/ledger.jsonl",
    "cache": "cache",
    "sweep.json": f"{sweeps.NAME}/sweep.json",
}
PATHS = {
    "open": 1, "os.listdir": 1, "os.scandir": 1, "os.rename": 2, "os.link": 2, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1,
    "os.chmod": 1, "os.utime": 1, "os.truncate": 1,
}  # fmt: skip
"""Of the events that Python tells of, how many of their first arguments are paths."""
READING = ("os.listdir", "os.scandir")
FREEING = ("os.remove", "os.rmdir")
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Failure:
    """place: an absolute path, and what lies below it. number: which call fails, from 1; with 0 none, and how many there were
    is written to a file `calls` in `home`. lasting: whether all later ones fail, until a file `repaired` is there; when the
    first does is written to `failed`."""

    place: Path
    error: int
    number: int
    lasting: bool
    home: Path

    def concerns(self, path: Any) -> bool:
        """A temporary file that takes the place of a file begins with its name."""
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        where = str(self.place)
        return text == where or text.startswith((f"{where}/", f"{self.place.parent}/.{self.place.name}."))

    def install(self) -> None:
        """In the process whose calls are to fail."""
        hindrances.REMIND_SECONDS = sweeps.PAUSE
        count = 0

        def call(path: Any, problem: Callable[[], Exception]) -> None:
            nonlocal count
            if not self.concerns(path):
                return
            count += 1
            due = self.number and (count == self.number or (self.lasting and count > self.number))
            if not due or (self.home / "repaired").exists():
                return
            if not (self.home / "failed").exists():
                (self.home / "failed").write_text(f"{path}\n{time.monotonic()}")
            raise problem()

        def os_error(path: Any) -> Callable[[], Exception]:
            return lambda: OSError(self.error, os.strerror(self.error), os.fsdecode(path))

        def heard(event: str, arguments: tuple[Any, ...]) -> None:
            if event in PATHS and self._can_fail(event, arguments):
                for path in arguments[: PATHS[event]]:
                    call(path, os_error(path))

        flush = os.fsync

        def fsync(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
            call(path, os_error(path))
            flush(descriptor)

        sys.addaudithook(heard)
        os.fsync = fsync
        rust = f"I/O error: {os.strerror(self.error)} (os error {self.error})"
        for module in (workplace, state):
            module.save_file = _calling(module.save_file, 1, call, rust)  # type: ignore[attr-defined]
        if self.error == errno.EIO:
            for reader in (artifact, state):
                reader.load_file = _calling(reader.load_file, 0, call, rust)  # type: ignore[attr-defined]
        if self.number == 0:
            (self.home / "calls").touch()
            _at_end(lambda: (self.home / "calls").write_text(str(count)))

    def _can_fail(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if self.error == errno.EIO:
            return True
        if event == "open":
            return bool((arguments[2] or 0) & WRITING_FLAGS)
        return event not in READING and (self.error == errno.EROFS or event not in FREEING)


def _calling(function: Callable[..., Any], place: int, call: Callable[..., None], said: str) -> Callable[..., Any]:
    def calls(*arguments: Any, **options: Any) -> Any:
        call(arguments[place], lambda: SafetensorError(said))
        return function(*arguments, **options)

    return calls


def _at_end(do: Callable[[], Any]) -> None:
    """Of a process that ends by `os._exit`, as forked ones do."""
    leave = os._exit

    def exit_(code: int) -> None:
        do()
        leave(code)

    os._exit = exit_  # type: ignore[assignment]


def calls(place: str, error: int, home: Path) -> int:
    """How many calls of an undisturbed sweep could fail so."""
    failure = Failure(home / "counted" / place, error, 0, False, home)
    ended = sweeps.sweep(sweeps.words(home / "counted"), home / "output", before=failure.install)
    shutil.rmtree(home / "counted")
    if ended.code:
        raise RuntimeError(f"an undisturbed sweep ended with exit code {ended.code}: {ended.said}")
    return int((home / "calls").read_text())


def attempt(failure: Failure, expected: dict[str, bytes]) -> tuple[str, str]:
    """What came of it, in a word, and what was wrong with that, or nothing."""
    runs, output = failure.home / "runs", failure.home / "output"
    arguments = sweeps.words(runs)
    child = forked.start(sweeps.here(arguments, failure.install), output)
    code, waited = None, None
    try:
        end = time.monotonic() + sweeps.SECONDS
        while code is None and time.monotonic() < end:
            code = forked.ended(child)
            waited = _waited(failure, output) if waited is None else waited
            if waited is not None and failure.error == errno.ENOSPC:  # which the sweep waits to see the end of
                (failure.home / "repaired").touch()
            time.sleep(forked.POLL_SECONDS)
    finally:
        if code is None:
            forked.kill(child)
    said = output.read_text(errors="replace")
    (failure.home / "repaired").touch()
    if code is None:
        return "endless", said
    if "Traceback (most recent call last)" in said:
        return "traceback", said
    failed = [record for record in sweeps.records(runs) if record["outcome"] == "failed"]
    if failed:
        return "a trial recorded as failed", f"{failed[0]['reason']}"
    if code and (waited is None or waited > SAID_SECONDS):
        return "not said", f"exit code {code}, error said after {waited} s: {said}"
    again = sweeps.sweep(arguments, output) if code else None
    if again is not None and again.code:
        return "not completed after the repair", again.said
    if wrong := sweeps.differences(expected, sweeps.contents(runs)):
        return "another result", f"{wrong}\n{said}"
    how = "gone on" if not code else "continued by the same command"
    return f"{how}, {'nothing to say' if waited is None else 'said'}", ""


def _waited(failure: Failure, output: Path) -> float | None:
    """Seconds from the failure to the line that tells of it."""
    try:
        failed = float((failure.home / "failed").read_text().split("\n")[1])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    told = os.strerror(failure.error) in " ".join(output.read_text(errors="replace").split())
    return time.monotonic() - failed if told else None


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: calls that fail, in the places one after the other."""
    sweeps.prepare()
    fates: Counter[str] = Counter()
    wrong = 0
    numbers: dict[tuple[str, int], int] = {}
    with tempfile.TemporaryDirectory(prefix="auxgraph-errors-") as scratch:
        home = Path(scratch)
        sweeps.sweep(sweeps.words(home / "whole"), home / "output")
        expected = sweeps.contents(home / "whole")
        for number in range(rounds):
            chance = random.Random(f"{seed} {number}")
            where, error = list(PLACES)[number % len(PLACES)], chance.choice(ERRORS)
            trial = home / f"trial{number}"
            trial.mkdir()
            place = PLACES[where]
            if (where, error) not in numbers:
                numbers[where, error] = calls(place, error, trial)
            nth, lasting = chance.randrange(numbers[where, error]) + 1, chance.random() < 0.5
            fate, problem = attempt(Failure(trial / "runs" / place, error, nth, lasting, trial), expected)
            fates[fate] += 1
            if problem:
                wrong += 1
                until = "and all after it " if lasting else ""
                where = f"{errno.errorcode[error]} of call {nth} {until}of {numbers[where, error]} in {where}"
                print(f"failure {number}, {where}: {fate}: {problem[-LONGEST:]}", flush=True)
            shutil.rmtree(trial)
    kinds = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
    seen = f"{wrong} of {rounds} otherwise ({kinds})"
    what = "n-th I/O call fails (EIO, ENOSPC, EROFS) in store, ledger, cache, sweep.json"
    asked = "one line within 10 s, no trial recorded as failed, same command completes after repair"
    return [Figure(what, seen, asked, not wrong, command("io_errors", rounds, seed))]
