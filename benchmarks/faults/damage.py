"""A file of a sweep is damaged, and the same command runs again: nothing damaged may be used without a word.

A bit flipped, a block of zeros, an end cut off, a file deleted: in the store, the training state, the frame cache, what is
known of videos, the embedded clips, sweep.json and the ledger, of a sweep at a moment at which the file is needed. Then every
record and every artifact must be to the bit as if nothing had happened. What the command does not read must be named by
`store verify`; of a ledger, the file must be named, and `--repair` must heal it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import sweeps
from benchmarks.faults.figure import Figure, command
from trainables import checksums
from trainables.store import Artifact, DamagedArtifact, Workplace, state, workplace
from trainables.store import artifact as artifact_module
from trainables.video import cache

ROUNDS, SHORT = 1000, 7
COST_ROUNDS = 100
"""From so many rounds on it is also measured what verification costs, in a trial of preset demo."""
BLOCK = 512
SEEDS = ("--seeds", "2")
STOPPED = 9
"""Exit code of a process that ends in the middle of a training."""


def flip(content: bytearray, chance: random.Random) -> bytearray:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def zero(content: bytearray, chance: random.Random) -> bytearray:
    """A block of zeros, as after a power cut, where there were none."""
    start = chance.randrange(len(content)) // BLOCK * BLOCK
    end = min(len(content), start + BLOCK)
    content[start:end] = bytes(end - start)
    return content


def cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.choice((0, chance.randrange(len(content))))]


HARMS: dict[str, Callable[[bytearray, random.Random], bytearray] | None] = {
    "flipped": flip, "zeroed": zero, "cut off": cut, "deleted": None,
}  # fmt: skip


def harm(path: Path, how: str, chance: random.Random) -> None:
    """Damage a file; what happens to be as before is damaged by a flipped bit. An empty file is deleted."""
    before, change = path.read_bytes(), HARMS[how]
    if change is None or not before:
        path.unlink()
        return
    after = change(bytearray(before), chance)
    path.write_bytes(flip(bytearray(before), chance) if after == before else after)


@dataclass(frozen=True)
class Moment:
    """A sweep at a moment: its directory, and what has to be there when it is complete. options: of its command."""

    runs: Path
    expected: Mapping[str, bytes]
    options: tuple[str, ...] = ()


def _stored(runs: Path, chance: random.Random) -> Path:
    """A file of an artifact, at a moment at which it is the last one that was made, and nothing is recorded yet."""
    return chance.choice(sorted(_up_to_some(runs, chance).iterdir()))


def _up_to_some(runs: Path, chance: random.Random) -> Path:
    """Take back what was done after some artifact was made, which is given."""
    shutil.rmtree(runs / sweeps.NAME)
    made = sorted((path.parent for path in runs.glob("store/*/*/done.json")), key=lambda path: path.stat().st_mtime_ns)
    last = chance.randrange(len(made))
    for later in made[last + 1 :]:
        shutil.rmtree(later)
    return made[last]


def _needed_again(pattern: str, runs: Path, chance: random.Random) -> Path:
    """A file that stages read which are not made yet."""
    shutil.rmtree(_up_to_some(runs, chance))
    return chance.choice(sorted(runs.glob(pattern)))


def _there(pattern: str, runs: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in runs.glob(pattern) if path.is_file()))


PLACES: dict[str, tuple[str, Callable[[Path, random.Random], Path]]] = {
    "store": ("complete", _stored),
    "training state": ("stopped", functools.partial(_there, "store/*/.*.work/*/*")),
    "frame cache": ("complete", functools.partial(_needed_again, "cache/frames/*")),
    "inventory": ("complete", functools.partial(_needed_again, "cache/inventory-*")),
    "embedded clips": ("complete", functools.partial(_needed_again, "cache/embedded-*/**/*.*")),
    "sweep.json": ("two seeds", functools.partial(_there, f"{sweeps.NAME}/sweep.json")),
    "ledger": ("two seeds", functools.partial(_there, f"{sweeps.NAME}/ledger.jsonl")),
}
"""Where a file is damaged: at which moment of the sweep, and the choice of it, after whatever makes it needed."""


def moments(home: Path) -> dict[str, Moment]:
    """The sweep when it is complete, when it is complete with two seeds, and stopped in the middle of its last training."""
    output = home / "output"
    for name, options in (("complete", ()), ("two seeds", SEEDS)):
        ended = sweeps.sweep(sweeps.words(home / name, *options), output)
        if ended.code:
            raise RuntimeError(f"an undisturbed sweep ended with exit code {ended.code}: {ended.said}")
    sweeps.sweep(sweeps.words(home / "stopped"), output, before=_stop_in_finetuning)
    whole = sweeps.contents(home / "complete")
    return {
        "complete": Moment(home / "complete", whole),
        "two seeds": Moment(home / "two seeds", sweeps.contents(home / "two seeds"), SEEDS),
        "stopped": Moment(home / "stopped", whole),
    }


def _stop_in_finetuning() -> None:
    save = Workplace.save_state

    def save_and_die(self: Workplace, content: Mapping[str, Any]) -> None:
        save(self, content)
        if self.target.parent.name == "finetune":
            os._exit(STOPPED)

    Workplace.save_state = save_and_die  # type: ignore[method-assign]


def attempt(moment: Moment, where: str, scratch: Path, chance: random.Random) -> tuple[str, str]:
    """What became of one damage, in a word, and what was damaged how; `used` is what must not be."""
    runs, output = scratch / "runs", scratch / "output"
    shutil.copytree(moment.runs, runs, symlinks=True)
    path = PLACES[where][1](runs, chance)
    how = chance.choice(sorted(HARMS))
    lines = _lines(runs)
    harm(path, how, chance)
    what = f"{path.relative_to(runs)} {how}"
    damaged = set(_lines(runs)) - set(lines)
    arguments = sweeps.words(runs, *moment.options)
    ended = sweeps.sweep(arguments, output)
    fate = "healed"
    if ended.code and path.name in ended.said.replace("\n", ""):
        fate, ended = "named, and healed by --repair", sweeps.sweep([*arguments, "--repair"], output)
    if ended.code:
        return "used", f"{what}: exit code {ended.code}\n{ended.said}"
    if stays := damaged & set(_lines(runs)):
        return "used", f"{what}: stays, and nothing is said: {stays.pop()!r}"
    wrong = sweeps.differences(moment.expected, sweeps.contents(runs))
    only = path.relative_to(runs)
    if wrong in ([f"{only}: differs"], [f"{only}: missing"]) and _is_named(path.parent):
        return "not read, and named by `store verify`", what
    return ("used", f"{what}: {wrong}\n{ended.said}") if wrong else (fate, what)


def _lines(runs: Path) -> list[bytes]:
    path = runs / sweeps.NAME / "ledger.jsonl"
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []


def _is_named(artifact: Path) -> bool:
    try:
        Artifact(artifact).verify()
    except DamagedArtifact:
        return True
    return False


def _measured(home: Path, report: Path) -> Callable[[], None]:
    """To be called in a process whose sweep is to tell how long it hashed and compared."""
    spent = 0.0
    inside = False

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            nonlocal spent, inside
            if inside:
                return function(*arguments)
            inside, start = True, time.perf_counter()
            try:
                return function(*arguments)
            finally:
                inside, spent = False, spent + time.perf_counter() - start
                report.write_text(str(spent))

        return call

    def measure() -> None:
        for module in (checksums, artifact_module, state, workplace):
            for name in ("entry_of", "check_size", "check_content", "sealed", "unsealed"):
                if name in vars(module):
                    setattr(module, name, timed(getattr(module, name)))
        cache._Entry.is_sound = timed(cache._Entry.is_sound)  # type: ignore[method-assign]

    return measure


def cost_of_verification(home: Path) -> float:
    """The share of the time of its stages that a trial of preset demo spends on hashing, and on comparing hashes."""
    runs, report = home / "demo", home / "spent"
    ended = sweeps.sweep(sweeps.words(runs, settings={}), home / "output", before=_measured(home, report))
    if ended.code:
        raise RuntimeError(f"a trial of preset demo ended with exit code {ended.code}: {ended.said}")
    (record,) = sweeps.records(runs)
    stages = sum(times["used"] for times in record["seconds"].values())
    return float(report.read_text()) / stages


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: damages, one after the other of the places."""
    sweeps.prepare()
    typed = command("damage", rounds, seed)
    fates: Counter[str] = Counter()
    used: Counter[str] = Counter()
    figures = []
    with tempfile.TemporaryDirectory(prefix="auxgraph-damage-") as scratch:
        home = Path(scratch)
        at = moments(home)
        for number in range(rounds):
            where, chance = list(PLACES)[number % len(PLACES)], random.Random(f"{seed} {number}")
            trial = home / "trial"
            fate, what = attempt(at[PLACES[where][0]], where, trial, chance)
            fates[fate] += 1
            if fate == "used":
                used[where] += 1
                print(f"damage {number}, {where}: {what}", flush=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(trial)
        if rounds >= COST_ROUNDS:
            share = cost_of_verification(home)
            what = "what verification takes of the time of a demo trial's stages"
            figures.append(Figure(what, f"{100 * share:.2f} %", "<= 1 %", share <= 0.01, typed))
    where = ", ".join(f"{name} {count}" for name, count in used.items())
    rest = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()) if fate != "used")
    seen = f"{fates['used']} of {rounds}{f' ({where})' if where else ''}; {rest}"
    what = "bit flips, zeros, truncations and deletions that are used without a word, or not healed"
    return [Figure(what, seen, "0 of 1,000", not fates["used"], typed), *figures]
